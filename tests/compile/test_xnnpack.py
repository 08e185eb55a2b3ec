"""What may run beside XNNPACK, and what may not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.compile.pte import read_methods
from harness.compile.xnnpack_lower import check_delegated, lower_to_xnnpack, quantize_weights
from harness.errors import CompileError
from harness.spec import ComponentRecipe


class Broken(nn.Module):
    """XNNPACK has no operator for a running sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cumsum(self.first(x), 1))


def test_operator_outside_of_xnnpack_is_named() -> None:
    module = Broken().requires_grad_(False)
    pte = lower_to_xnnpack({"forward": (module, (torch.zeros(1, 32),))}, {})
    with pytest.raises(CompileError) as caught:
        check_delegated("broken", read_methods(pte), ["forward"])
    assert "forward runs aten::cumsum.out outside of XNNPACK" in str(caught.value)


def test_missing_method_is_named() -> None:
    with pytest.raises(CompileError, match="its methods are none"):
        check_delegated("text_decoder", {}, ["kv_forward"])


def test_width_that_is_no_multiple_of_the_block_names_the_layer() -> None:
    module = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 64))
    with pytest.raises(CompileError, match="1 has 48 input channels, not a multiple of 32"):
        quantize_weights(module, ComponentRecipe("8da4w", block_size=32))
