"""Muon for the weight matrices of the transformer layers, AdamW for everything else.

Muon (Jordan et al., 2024) turns the momentum of a weight matrix into the nearest matrix with
equal singular values before it steps, so that no direction of it lags behind or runs away.
torch's own `torch.optim.Muon` does that in bfloat16, which CPUs without bfloat16 units emulate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

# Coefficients of the quintic iteration from the same source.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """`lr` counts as AdamW's: the entries of one update have a root mean square of 0.2 * lr."""

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], lr: float, weight_decay: float
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - _MOMENTUM)
                update = _orthogonalised(matrix.grad.lerp(momentum, _MOMENTUM))
                # Entries of an orthogonal (rows, columns) matrix have root mean square
                # 1 / sqrt(max(rows, columns)): this factor brings them to 0.2, as AdamW's.
                scale = 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * scale)


def _orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
