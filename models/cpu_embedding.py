"""The token embedding with a table of 8-bit integers, a scale per row."""

from __future__ import annotations

import torch
from torch import nn

from models.embedding import TokenEmbedding


class CpuTokenEmbedding(nn.Module):
    """As `TokenEmbedding`, rounded to 1/127 of each row's greatest magnitude.

    The operator is ExecuTorch's: calling it needs `executorch.exir` to have been imported.
    """

    def __init__(self, embedding: TokenEmbedding) -> None:
        super().__init__()
        table = embedding.rows.weight.detach()  # (vocab, dim)
        scales = (table.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        self.register_buffer("scales", scales)  # (vocab,)
        self.register_buffer("rows", (table / scales[:, None]).round().to(torch.int8))
        self.example_inputs = embedding.example_inputs

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Token ids int32 (1, AR) -> float32 (1, AR, dim)."""
        embed = torch.ops.quantized_decomposed.embedding_byte.default
        # The kernel takes no other integers than these.
        return embed(self.rows, self.scales, None, -128, 127, token_ids.to(torch.int64))
