"""Post-training quantisation of exported graphs: prepare, calibrate, share ranges, convert.

A decoder has several graphs of one structure (AR-1, AR-N). With shared encodings one of them
is calibrated and its observers' ranges are copied to the others before conversion: node for
node, because the graphs differ in shapes only. So an entry of the KV cache means the same to
all of them. With separate encodings each is calibrated by itself; of the boundary they then
have the mask and the logits in common, and the runner requantises the cache between them.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from executorch.backends.qualcomm.quantizer.observers.concat_observer import ConcatObserver
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from harness.compile.encodings import output_args, placeholders
from harness.compile.quantizer import make_quantizer
from harness.errors import CompileError
from harness.spec import ComponentRecipe

Inputs = tuple[torch.Tensor, ...]


def prepare(
    module: torch.nn.Module, example: Inputs, soc: str, recipe: ComponentRecipe
) -> GraphModule:
    """Export `module` for the example's shapes and, unless it stays in fp16, insert observers.

    Raises:
        CompileError: a pattern of the recipe finds no layer.
    """
    exported = torch.export.export(module, example, strict=True).module()
    if recipe.quantization == "fp16":
        return exported
    return prepare_pt2e(exported, make_quantizer(soc, recipe, exported))


def calibrate(prepared: GraphModule, samples: Iterable[Inputs]) -> int:
    """Run samples through the observers and fix their ranges; returns how many there were."""
    count = 0
    with torch.no_grad():
        for count, sample in enumerate(samples, start=1):  # noqa: B007
            prepared(*sample)
    _fix_ranges(prepared)
    return count


def copy_ranges(calibrated: GraphModule, other: GraphModule, example: Inputs) -> None:
    """Give `other` the ranges that `calibrated` observed, node for node.

    Raises:
        CompileError: when the two graphs are not of one structure.
    """
    with torch.no_grad():
        other(*example)  # creates the buffers of per-channel weight observers
    _fix_ranges(other)
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
    inputs, outputs = placeholders(prepared), output_args(prepared)
    for index, position in enumerate(cache_inputs):
        _tie(
            [
                *_observers_fed_by(prepared, inputs[position]),
                _observer(prepared, outputs[1 + index]),
            ]
        )


def tie_logits_ranges(graphs: Iterable[GraphModule]) -> None:
    """Give the logits of all graphs one range: the contract has one encoding for them."""
    _tie([_observer(graph, output_args(graph)[0]) for graph in graphs])


def convert(prepared: GraphModule) -> GraphModule:
    """Replace observers by quantise/dequantise pairs; a graph without any stays as it is."""
    return convert_pt2e(prepared) if _observed_nodes(prepared) else prepared


def _fix_ranges(prepared: GraphModule) -> None:
    """Replace histograms by the ranges they lead to, which can then be copied and tied.

    Inputs of a concatenation have its range already, so that nothing needs requantising.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    forced = {
        id(observer)
        for module in modules.values()
        if isinstance(module, ConcatObserver)
        for observer in module.input_observers
    }
    fixed: dict[int, MinMaxObserver] = {}
    for name, module in modules.items():
        if isinstance(module, HistogramObserver):
            if id(module) not in fixed:
                fixed[id(module)] = _as_min_max(module, forced=id(module) in forced)
            prepared.set_submodule(name, fixed[id(module)])


def _as_min_max(histogram: HistogramObserver, *, forced: bool) -> MinMaxObserver:
    plain = MinMaxObserver(
        dtype=histogram.dtype,
        qscheme=histogram.qscheme,
        quant_min=histogram.quant_min,
        quant_max=histogram.quant_max,
        eps=float(histogram.eps),
    )
    plain.min_val, plain.max_val = histogram.min_val.clone(), histogram.max_val.clone()
    if not forced:
        scale, zero_point = histogram.calculate_qparams()
        plain.min_val = ((histogram.quant_min - zero_point) * scale).reshape(())
        plain.max_val = ((histogram.quant_max - zero_point) * scale).reshape(())
    return plain


def _tie(observers: Sequence[Any]) -> None:
    low = torch.min(torch.stack([o.min_val.min() for o in observers]))
    high = torch.max(torch.stack([o.max_val.max() for o in observers]))
    for observer in observers:
        observer.min_val, observer.max_val = low.clone(), high.clone()


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
            "looking for the range of a decoder's output", f"{node.name} is not observed"
        )
    return prepared.get_submodule(str(node.target))


def _observers_fed_by(prepared: GraphModule, node: Node) -> list[Any]:
    modules = (prepared.get_submodule(str(u.target)) for u in node.users if u.op == "call_module")
    return [module for module in modules if isinstance(module, ObserverBase)]
