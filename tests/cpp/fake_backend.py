"""A vision encoder of the toys' shapes, lowered whole to the delegate of fake_backend.cpp.

python -m tests.cpp.fake_backend FILE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import final

import torch
from executorch.exir import to_edge
from executorch.exir.backend.backend_api import to_backend
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from torch import Tensor, nn

from tests.cpp.toy.spec import DIM, IMAGE_SIDE, IMAGE_TOKENS


@final
class FakeBackend(BackendDetails):
    """The name is what the runner looks the delegate up by."""

    @staticmethod
    def preprocess(edge_program: object, compile_specs: object) -> PreprocessResult:
        return PreprocessResult(processed_bytes=b"nothing to run")


class Encoder(nn.Module):
    """Any function of the right shapes."""

    def forward(self, pixels: Tensor) -> Tensor:  # (1, 3, H, W)
        return pixels.flatten()[: IMAGE_TOKENS * DIM].reshape(1, IMAGE_TOKENS, DIM)


class Delegated(nn.Module):
    """The encoder with nothing but the delegate in it."""

    def __init__(self, lowered: nn.Module) -> None:
        super().__init__()
        self.lowered = lowered

    def forward(self, pixels: Tensor) -> Tensor:
        return self.lowered(pixels)


def export_fake(path: Path) -> None:
    """Write the PTE."""
    pixels = (torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE),)
    edge = to_edge(torch.export.export(Encoder(), pixels))
    lowered = to_backend("FakeBackend", edge.exported_program(), [])
    program = to_edge(torch.export.export(Delegated(lowered), pixels)).to_executorch()
    path.write_bytes(program.buffer)


if __name__ == "__main__":
    export_fake(Path(sys.argv[1]))
