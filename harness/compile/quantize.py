"""Post-training quantisation of exported graphs, with one set of encodings for all widths.

A decoder has several graphs of one structure (AR-1, AR-N). Calibrating each on its own
gives each its own encodings, and the KV cache would have to be requantised on the way from
one to the other. So one graph is calibrated and its observers' ranges are copied to the
others before conversion: node for node, because the graphs differ in shapes only.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype
from executorch.backends.qualcomm.serialization.qc_schema import (
    QcomChipset,
    QnnExecuTorchBackendType,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from harness.errors import CompileError

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Encoding:
    """An affine encoding: real = (quantised - zero_point) * scale."""

    scale: float
    zero_point: int
    quant_min: int
    quant_max: int
    dtype: str  # "torch.int32" for 16-bit unsigned data, as torch.fx writes it


@dataclass(frozen=True)
class Boundary:
    """Encodings of what crosses a decoder's boundary as integers."""

    mask: Encoding
    cache_inputs: tuple[Encoding, ...]
    logits: Encoding
    cache_outputs: tuple[Encoding, ...]


def make_quantizer(soc: str, quantization: str) -> QnnQuantizer:
    """A quantiser for the HTP of `soc`: per-channel weights, per-tensor min-max activations."""
    quantizer = QnnQuantizer(
        backend=QnnExecuTorchBackendType.kHtpBackend, soc_model=getattr(QcomChipset, soc)
    )
    quantizer.set_default_quant_config(
        getattr(QuantDtype, f"use_{quantization}"),
        is_qat=False,
        is_conv_per_channel=True,
        is_linear_per_channel=True,
        act_observer=MinMaxObserver,
    )
    return quantizer


def prepare(module: torch.nn.Module, example: Inputs, quantizer: QnnQuantizer) -> GraphModule:
    """Export `module` for the example's shapes and insert observers."""
    exported = torch.export.export(module, example, strict=True).module()
    return prepare_pt2e(exported, quantizer)


def calibrate(prepared: GraphModule, samples: Iterable[Inputs]) -> int:
    """Run samples through the observers; returns how many there were."""
    count = 0
    with torch.no_grad():
        for count, sample in enumerate(samples, start=1):  # noqa: B007
            prepared(*sample)
    return count


def copy_ranges(calibrated: GraphModule, other: GraphModule, example: Inputs) -> None:
    """Give `other` the ranges that `calibrated` observed, node for node.

    Raises:
        CompileError: when the two graphs are not of one structure.
    """
    with torch.no_grad():
        other(*example)  # creates the buffers of per-channel weight observers
    sources, targets = _observed_nodes(calibrated), _observed_nodes(other)
    if [name for name, _ in sources] != [name for name, _ in targets]:
        differing = {n for n, _ in sources} ^ {n for n, _ in targets}
        raise CompileError(
            "copying encodings from the calibrated graph",
            f"the graphs differ in {len(differing)} observed nodes: {sorted(differing)[:5]}",
            expected="graphs of one class that differ in shapes only",
        )
    for (_, source), (_, target) in zip(sources, targets, strict=True):
        if not hasattr(source, "min_val"):
            continue  # a fixed range (softmax, sigmoid), the same in every graph
        target.min_val = source.min_val.detach().clone()
        target.max_val = source.max_val.detach().clone()


def tie_cache_ranges(prepared: GraphModule, cache_inputs: Sequence[int]) -> None:
    """Give each KV cache input and the new-entries output that feeds it one common range.

    `cache_inputs` are the positions of the cache inputs; output 1 + i feeds cache input i.
    With one encoding on both sides a new entry enters the cache as it is.
    """
    placeholders = [node for node in prepared.graph.nodes if node.op == "placeholder"]
    outputs = _output_args(prepared)
    for index, position in enumerate(cache_inputs):
        observers = [
            *_observers_fed_by(prepared, placeholders[position]),
            _observer(prepared, outputs[1 + index]),
        ]
        low = torch.min(torch.stack([o.min_val.min() for o in observers]))
        high = torch.max(torch.stack([o.max_val.max() for o in observers]))
        for observer in observers:
            observer.min_val, observer.max_val = low.clone(), high.clone()


def convert(prepared: GraphModule) -> GraphModule:
    """Replace observers by quantise/dequantise pairs."""
    return convert_pt2e(prepared)


def read_boundary(converted: GraphModule, cache_inputs: Sequence[int]) -> Boundary:
    """Encodings at the boundary of a converted decoder graph.

    Raises:
        CompileError: a cache input and the output that feeds it have different encodings.
    """
    logits, *cache_outputs = [_encoding(node) for node in _output_args(converted)]
    inputs = [_input_encoding(converted, position) for position in cache_inputs]
    for index, (read, written) in enumerate(zip(inputs, cache_outputs, strict=True)):
        if (read.scale, read.zero_point) != (written.scale, written.zero_point):
            raise CompileError(
                "checking the encodings of the KV cache",
                f"cache {index} is written as {written} and read as {read}",
                expected="one encoding for both",
            )
    return Boundary(
        mask=_input_encoding(converted, 1),
        cache_inputs=tuple(inputs),
        logits=logits,
        cache_outputs=tuple(cache_outputs),
    )


def common_boundary(graphs: Mapping[str, GraphModule], cache_inputs: Sequence[int]) -> Boundary:
    """The one boundary of all graphs of a decoder.

    Raises:
        CompileError: two graphs differ in an encoding, or the mask's is not the one of the
            contract, which the runner relies on: the largest integer attends, 0 masks.
    """
    boundaries = {name: read_boundary(graph, cache_inputs) for name, graph in graphs.items()}
    (first, boundary), *others = boundaries.items()
    for name, other in others:
        if other != boundary:
            raise CompileError(
                "checking the encodings of the decoder's graphs",
                f"{name} has {other}, {first} has {boundary}",
                expected="one set of encodings for all graphs",
            )
    mask = boundary.mask
    if (mask.zero_point, mask.quant_min) != (mask.quant_max, 0):
        raise CompileError(
            "checking the encoding of the attention mask",
            f"it is {mask}",
            expected="zero point at the largest integer, so that it attends and 0 masks",
        )
    return boundary


def _input_encoding(converted: GraphModule, position: int) -> Encoding:
    placeholder = [node for node in converted.graph.nodes if node.op == "placeholder"][position]
    quantizers = [user for user in placeholder.users if "quantize_per_tensor" in str(user.target)]
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


def _observed_nodes(prepared: GraphModule) -> list[tuple[str, Any]]:
    """(name of the observed node, its observer), in graph order."""
    found = []
    for node in prepared.graph.nodes:
        if node.op == "call_module":
            module = prepared.get_submodule(str(node.target))
            if isinstance(module, ObserverBase):
                found.append((str(node.args[0]), module))
    return found


def _observer(prepared: GraphModule, node: Node) -> Any:
    if node.op != "call_module":
        raise CompileError(
            "looking for the range of a KV cache output", f"{node.name} is not observed"
        )
    return prepared.get_submodule(str(node.target))


def _observers_fed_by(prepared: GraphModule, node: Node) -> list[Any]:
    modules = (prepared.get_submodule(str(u.target)) for u in node.users if u.op == "call_module")
    return [module for module in modules if isinstance(module, ObserverBase)]


def _output_args(graph_module: GraphModule) -> list[Node]:
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    (values,) = output.args
    return list(values) if isinstance(values, tuple | list) else [values]
