"""From a component's recipe to the backend's quantiser.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from executorch.backends.qualcomm.quantizer.custom_annotation import annotate_kv_8bit
from executorch.backends.qualcomm.quantizer.quantizer import (
    ModuleQConfig,
    QnnQuantizer,
    QuantDtype,
)
from executorch.backends.qualcomm.serialization.qc_schema import (
    QcomChipset,
    QnnExecuTorchBackendType,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
)

from harness.compile.encodings import output_args
from harness.errors import CompileError
from harness.spec import ComponentRecipe

_OBSERVERS: dict[str, type] = {
    "minmax": MinMaxObserver,
    "moving_average": MovingAverageMinMaxObserver,
    "histogram": HistogramObserver,
}
_BLOCK = "16a4w_block"
_CONV, _LINEAR = torch.ops.aten.conv2d.default, torch.ops.aten.linear.default
_Chooser = Callable[[Node], bool]


@dataclass(frozen=True)
class _Scheme:
    """How a weighted node is quantised; `block_size` None is one scale per output channel."""

    quantization: str
    block_size: int | None = None


def make_quantizer(soc: str, recipe: ComponentRecipe, exported: GraphModule) -> QnnQuantizer:
    """A quantiser for the HTP of `soc`, for one exported graph.

    Weights have one scale per output channel, or per block of input channels where the
    recipe says so and the block divides them; activations one per tensor. An embedding table
    counts as an activation. The logits of a decoder are 16-bit integers in every recipe: in
    8 bits most replies would be decided by ties.

    Raises:
        CompileError: a pattern of the recipe finds no layer.
    """
    quantizer = QnnQuantizer(
        backend=QnnExecuTorchBackendType.kHtpBackend, soc_model=getattr(QcomChipset, soc)
    )
    observer = _OBSERVERS[recipe.observer]
    quantizer.set_default_quant_config(
        _dtype(recipe.quantization),
        is_qat=False,
        is_conv_per_channel=True,
        is_linear_per_channel=True,
        act_observer=observer,
    )
    schemes = _schemes(recipe, exported)
    if recipe.kv_cache_bits is not None and recipe.quantization == "8a8w":
        schemes |= dict.fromkeys(_logit_nodes(exported), _Scheme("16a8w"))
    quantizer.set_submodule_qconfig_list(list(_choices(schemes, exported, observer)))
    quantizer.set_block_size_map(
        {
            node.name: _block_shape(node, size)
            for node in exported.graph.nodes
            if node.name in schemes and (size := schemes[node.name].block_size) is not None
        }
    )
    if recipe.kv_cache_bits == 8 and recipe.quantization != "8a8w":
        quantizer.add_custom_quant_annotations([annotate_kv_8bit])
    return quantizer


def _dtype(quantization: str) -> Any:
    return getattr(QuantDtype, f"use_{quantization}")


def _schemes(recipe: ComponentRecipe, exported: GraphModule) -> dict[str, _Scheme]:
    """Name of each node that is not quantised by the recipe's default, and how it is."""
    used: set[str] = set()
    schemes = {}
    for node in exported.graph.nodes:
        path = _module_path(node)
        scheme, size = recipe.quantization, recipe.block_size
        for exception in recipe.exceptions:
            if node.op == "call_function" and re.search(exception.layers, path):
                used.add(exception.layers)
                scheme, size = exception.quantization, exception.block_size
                break
        blocks = size if scheme == _BLOCK and _takes_blocks(node, size) else None
        if scheme != recipe.quantization or blocks is not None:
            schemes[node.name] = _Scheme(scheme, blocks)
    unused = [e.layers for e in recipe.exceptions if e.layers not in used]
    if unused:
        paths = sorted({path for node in exported.graph.nodes if (path := _module_path(node))})
        raise CompileError(
            "quantising by the recipe",
            f"no layer matches the exception {unused[0]!r}",
            expected=f"a pattern that finds one of {', '.join(paths[:12])}, ...",
        )
    return schemes


def _choices(
    schemes: dict[str, _Scheme], exported: GraphModule, observer: type
) -> Iterator[tuple[_Chooser, ModuleQConfig]]:
    """Per scheme the nodes that have it.

    One config per kind of node: the backend notes the shape of blocks in the config itself,
    so that two kinds of one config would both get the last one's shape.
    """
    groups: dict[tuple[_Scheme, object], set[str]] = {}
    for node in exported.graph.nodes:
        if node.name in schemes:
            scheme = schemes[node.name]
            kind = node.target if scheme.block_size is not None else None
            groups.setdefault((scheme, kind), set()).add(node.name)
    for (scheme, _), names in groups.items():
        config = ModuleQConfig(
            _dtype(scheme.quantization),
            is_conv_per_channel=True,
            is_linear_per_channel=True,
            act_observer=observer,
        )
        yield _is_one_of(frozenset(names)), config


def _is_one_of(names: frozenset[str]) -> _Chooser:
    return lambda node: node.name in names


def _module_path(node: Node) -> str:
    """Dotted path of the innermost module a node was traced in, "layers.0.ffn.down"."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _takes_blocks(node: Node, size: int | None) -> bool:
    if node.target not in (_CONV, _LINEAR) or size is None:
        return False
    weight = node.args[1]
    assert isinstance(weight, Node)
    return bool(weight.meta["val"].shape[1] % size == 0)


def _block_shape(node: Node, size: int) -> tuple[int, ...]:
    return (1, size, 1, 1) if node.target == _CONV else (1, size)


def _logit_nodes(exported: GraphModule) -> Iterator[str]:
    """The head and what reshapes its output."""
    node = output_args(exported)[0]
    while isinstance(node, Node) and node.op == "call_function":
        yield node.name
        if node.target in (_CONV, _LINEAR):
            return
        node = node.args[0]
