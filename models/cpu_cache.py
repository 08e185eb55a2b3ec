"""A KV cache in integers at the boundary of a CPU decoder, a quarter or half the size of floats.

The operators are PyTorch's `quantized_decomposed` ones, for which ExecuTorch has kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchao.quantization.pt2e import quantizer as _registers_operators  # noqa: F401

from models.components import Components
from models.generate import KvCache, decode, embed, float_graphs, prefill
from models.prompt import Prompt

_DTYPES = {8: torch.uint8, 16: torch.uint16}


@dataclass(frozen=True)
class Range:
    """Least and greatest value of one layer's K or V."""

    low: float
    high: float


class QuantizedCache(nn.Module):
    """A CPU decoder whose cache inputs and new entries are unsigned integers.

    An entry is written and read with one encoding, the same in every graph.
    """

    def __init__(self, decoder: nn.Module, ranges: Sequence[Range], bits: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.dtype = _DTYPES[bits]
        self.quant_max = 2**bits - 1
        self.encodings = [self._encoding(entry) for entry in ranges]

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor, pos_ids: torch.Tensor, *caches: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        logits, *entries = self.decoder(hidden, mask, pos_ids, *self.dequantize(caches))
        return (logits, *self.quantize(entries))

    def quantize(self, tensors: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Floats to integers, K of all layers, then V."""
        operator = torch.ops.quantized_decomposed.quantize_per_tensor.default
        return self._each(operator, tensors)

    def dequantize(self, tensors: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Integers to floats, K of all layers, then V."""
        operator = torch.ops.quantized_decomposed.dequantize_per_tensor.default
        return self._each(operator, tensors)

    def example_inputs(self, ar_len: int) -> tuple[torch.Tensor, ...]:
        """Inputs of the shapes to export with, as the float decoder's."""
        inputs: Any = self.decoder.example_inputs(ar_len)
        return (*inputs[:3], *(cache.to(self.dtype) for cache in inputs[3:]))

    def _each(self, operator: Any, tensors: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(
            operator(tensor, scale, zero_point, 0, self.quant_max, self.dtype)
            for tensor, (scale, zero_point) in zip(tensors, self.encodings, strict=True)
        )

    def _encoding(self, entry: Range) -> tuple[float, int]:
        """Scale and zero point; 0.0, which an empty cache holds, is exact."""
        low, high = min(entry.low, 0.0), max(entry.high, 0.0)
        scale = max(high - low, 1e-6) / self.quant_max
        return scale, round(-low / scale)

    def quant_attrs(self) -> Mapping[str, list[Any]]:
        """The contract's constant methods with the encodings."""
        return {
            f"get_kv_output_{index}_quant_attr": [
                scale,
                zero_point,
                0,
                self.quant_max,
                "torch.uint8" if self.dtype is torch.uint8 else "torch.int32",
            ]
            for index, (scale, zero_point) in enumerate(self.encodings)
        }


@torch.no_grad()
def cache_ranges(
    components: Components, talks: Iterable[tuple[Prompt, list[int]]]
) -> tuple[Range, ...]:
    """What K and V of each layer hold while the float model reads prompts and its replies."""
    lows: list[torch.Tensor] = []
    highs: list[torch.Tensor] = []
    for prompt, reply in talks:
        graphs = float_graphs(components, 1)
        cache = KvCache(components.text_decoder.config)
        prefill(graphs, prompt, cache)
        for token in reply[:-1]:
            decode(graphs, embed(graphs, [token], 1), cache)
        entries = cache.inputs(1)
        lows.append(torch.stack([entry.min() for entry in entries]))
        highs.append(torch.stack([entry.max() for entry in entries]))
    low, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
    return tuple(Range(float(a), float(b)) for a, b in zip(low, high, strict=True))
