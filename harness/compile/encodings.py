"""Encodings of what crosses a decoder's boundary as integers, read from its graphs.

Imports torch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.fx import GraphModule, Node

from harness.errors import CompileError


@dataclass(frozen=True)
class Encoding:
    """An affine encoding: real = (quantised - zero_point) * scale."""

    scale: float
    zero_point: int
    quant_min: int
    quant_max: int
    dtype: str  # "torch.int32" for 16-bit unsigned data, as torch.fx writes it

    @property
    def storage(self) -> torch.dtype:
        """Type of one element at the PTE's boundary."""
        return torch.uint8 if self.quant_max <= 255 else torch.uint16


@dataclass(frozen=True)
class Boundary:
    """Encodings of a decoder graph's mask, logits and caches: K of every layer, then V.

    A cache is written in the encoding that it is read in.
    """

    mask: Encoding
    logits: Encoding
    caches: tuple[Encoding, ...]


def read_boundary(converted: GraphModule, cache_inputs: Sequence[int]) -> Boundary:
    """Encodings at the boundary of a converted decoder graph.

    Raises:
        CompileError: a cache input and the output that feeds it have different encodings, or
            the mask's is not the one of the contract, which the runner relies on: the largest
            integer attends, 0 masks.
    """
    logits, *outputs = [_encoding(node) for node in output_args(converted)]
    inputs = [_input_encoding(converted, position) for position in cache_inputs]
    for index, (read, written) in enumerate(zip(inputs, outputs, strict=True)):
        if (read.scale, read.zero_point) != (written.scale, written.zero_point):
            raise CompileError(
                "checking the encodings of the KV cache",
                f"cache {index} is written as {written} and read as {read}",
                expected="one encoding for both",
            )
    mask = _input_encoding(converted, 1)
    if (mask.zero_point, mask.quant_min) != (mask.quant_max, 0):
        raise CompileError(
            "checking the encoding of the attention mask",
            f"it is {mask}",
            expected="zero point at the largest integer, so that it attends and 0 masks",
        )
    return Boundary(mask, logits, tuple(outputs))


def read_boundaries(
    graphs: Mapping[str, GraphModule], cache_inputs: Sequence[int], *, shared: bool
) -> dict[str, Boundary]:
    """The boundary of each graph of a decoder, by method.

    Args:
        shared: the graphs must have one set of encodings; else their caches may differ, and
            the runner requantises.

    Raises:
        CompileError: they differ where they must not.
    """
    boundaries = {name: read_boundary(graph, cache_inputs) for name, graph in graphs.items()}
    (first, boundary), *others = boundaries.items()
    for name, other in others:
        comparable = other if shared else replace(other, caches=boundary.caches)
        if comparable != boundary:
            raise CompileError(
                "checking the encodings of the decoder's graphs",
                f"{name} has {other}, {first} has {boundary}",
                expected="one set of encodings for all graphs",
            )
    return boundaries


def output_args(graph_module: GraphModule) -> list[Node]:
    """The nodes whose values a graph returns."""
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    (values,) = output.args
    return list(values) if isinstance(values, tuple | list) else [values]


def placeholders(graph_module: GraphModule) -> list[Node]:
    """The nodes of a graph's inputs, in order."""
    return [node for node in graph_module.graph.nodes if node.op == "placeholder"]


def _input_encoding(converted: GraphModule, position: int) -> Encoding:
    users = placeholders(converted)[position].users
    quantizers = [user for user in users if "quantize_per_tensor" in str(user.target)]
    if not quantizers:
        raise CompileError(
            "reading the encodings of a quantised graph", f"input {position} is not quantised"
        )
    return _encoding(quantizers[0])


def _encoding(node: Node) -> Encoding:
    if "quantize_per_tensor" not in str(node.target):
        raise CompileError(
            "reading the encodings of a quantised graph", f"{node.name} is not quantised per tensor"
        )
    _, scale, zero_point, quant_min, quant_max, dtype = node.args[:6]
    return Encoding(
        float(scale),
        int(zero_point),
        int(quant_min),
        int(quant_max),
        str(dtype),
    )
