"""From float modules to a PTE whose graphs run in XNNPACK.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import executorch.kernels.quantized  # noqa: F401  registers out variants of quantised operators
import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager
from executorch.backends.xnnpack._passes.remove_noop_expand_copy_pass import (
    RemoveNoopExpandCopyPass,
)
from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import ViewCopyConfig
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import (
    EdgeCompileConfig,
    ExecutorchBackendConfig,
    to_edge_transform_and_lower,
)
from executorch.exir.passes import MemoryPlanningPass
from torch import nn
from torch.fx.traceback import NodeSource
from torchao.quantization import (
    Int8DynamicActivationIntxWeightConfig,
    quantize_,
)
from torchao.quantization.granularity import PerAxis, PerGroup

from harness.compile.pte import MethodContents
from harness.errors import CompileError
from harness.spec import ComponentRecipe

Inputs = tuple[torch.Tensor, ...]

CPU_KERNELS = frozenset(
    {
        "aten::embedding.out",  # rows of the embedding table and of the rope tables
        "quantized_decomposed::embedding_byte.out",
        "quantized_decomposed::embedding_byte.dtype_out",
        "aten::_to_copy.out",  # of token ids, for the kernel above
        "aten::unsqueeze_copy.out",
        "executorch_prim::et_view.default",  # moves no data
        "aten::native_layer_norm.out",
        "quantized_decomposed::quantize_per_tensor.out",  # a quantised KV cache's boundary
        "quantized_decomposed::dequantize_per_tensor.out",
    }
)
"""What may run beside XNNPACK, which has none of these."""

_NEEDLESS_PASSES = frozenset(
    {
        "ConvertToUpsampleBilinear2d",
        "ConvertToSDPAPass",
        "FuseBatchNormPass",
        "DecomposeBatchNorm",
        "InsertPadQDQPass",
        "Conv1dUnsqueezePass",
        "PReLUReshapePass",
    }
)
"""Passes of the backend for operators that none of our models has.

Each traces the whole graph anew, and the first two export a set of example models to compare
it with: for one decoder layer that was half of the time of lowering."""


def quantize_weights(module: nn.Module, recipe: ComponentRecipe) -> nn.Module:
    """The module with the weights of its linear layers quantised as asked, in place.

    Activations are quantised while the graph runs, so nothing has to be calibrated.

    Raises:
        CompileError: a layer's width is not a multiple of the block size.
    """
    if recipe.quantization == "fp32":
        return module
    block = recipe.block_size
    _check_blocks(module, block)
    weight_dtype = torch.int8 if block is None else torch.int4
    linear = Int8DynamicActivationIntxWeightConfig(
        weight_dtype=weight_dtype,
        weight_granularity=PerAxis(0) if block is None else PerGroup(block),
    )
    quantize_(module, linear)
    return module


def lower_to_xnnpack(
    methods: Mapping[str, tuple[nn.Module, Inputs]], constants: Mapping[str, Any]
) -> bytes:
    """One PTE with a method per module, weights shared where they are equal.

    Args:
        methods: (module, example inputs) by name.
        constants: constant methods by name.
    """
    # Copies of a node may share the record of where it came from: see `lower`.
    NodeSource.__deepcopy__ = lambda self, memo: self
    with torch.no_grad():
        programs = {
            name: torch.export.export(module, example, strict=False)
            for name, (module, example) in methods.items()
        }
    with _needed_passes_only():
        edge = to_edge_transform_and_lower(
            programs,
            transform_passes=[RemoveNoopExpandCopyPass()],  # XNNPACK has no `expand`
            # One for all precisions: the partitioner for quantised layers alone, run first as
            # ExecuTorch's examples do, leaves a delegate for every layer.
            partitioner=[XnnpackPartitioner(configs=_partitioner_configs())],
            constant_methods=dict(constants) or None,
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        )
    config = ExecutorchBackendConfig(
        # The runner owns every input and output buffer.
        memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
    )
    return bytes(edge.to_executorch(config).buffer)


def check_delegated(
    component: str, methods: Mapping[str, MethodContents], names: Collection[str]
) -> None:
    """Refuse a PTE of which more than `CPU_KERNELS` runs outside of XNNPACK.

    Raises:
        CompileError: naming the operators, or the methods if they are not `names`.
    """
    doing = f"checking the finished {component} PTE"
    if set(methods) != set(names):
        found = f"its methods are {', '.join(sorted(methods)) or 'none'}"
        raise CompileError(doing, found, expected=", ".join(sorted(names)))
    for method in methods.values():
        outside = sorted(set(method.cpu_kernels) - CPU_KERNELS)
        if outside:
            raise CompileError(
                doing,
                f"{method.name} runs {', '.join(outside)} outside of XNNPACK",
                expected=f"nothing but {', '.join(sorted(CPU_KERNELS))}",
                hint="rewrite the named operators in models/ in a form XNNPACK takes",
            )


class _InternalViewConfig(ViewCopyConfig):  # type: ignore[misc]
    """Leaves the views of graph inputs outside of the delegate.

    There they move nothing. Inside, XNNPACK would copy the input, which for the KV cache is
    all of it for every token.
    """

    def check_constraints(self, node: Any, ep: Any) -> bool:
        of_input = node.args[0].op == "placeholder"
        return not of_input and super().check_constraints(node, ep)


def _partitioner_configs() -> list[Any]:
    configs = ALL_PARTITIONER_CONFIGS
    return [_InternalViewConfig if config is ViewCopyConfig else config for config in configs]


class _NeededPasses(XNNPACKPassManager):  # type: ignore[misc]
    def __init__(self, exported_program: Any, passes: Any = None) -> None:
        super().__init__(exported_program, passes)
        every = list(self.__dict__["passes"])
        self.passes: list[Any] = [each for each in every if each.__name__ not in _NEEDLESS_PASSES]


@contextmanager
def _needed_passes_only() -> Iterator[None]:
    """The backend takes its passes from a name in its module and offers no choice."""
    before = xnnpack_preprocess.XNNPACKPassManager
    xnnpack_preprocess.XNNPACKPassManager = _NeededPasses
    try:
        yield
    finally:
        xnnpack_preprocess.XNNPACKPassManager = before


def _check_blocks(module: nn.Module, block: int | None) -> None:
    if block is None:
        return
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and layer.in_features % block:
            raise CompileError(
                "quantising the weights",
                f"{name} has {layer.in_features} input channels, not a multiple of {block}",
                hint="another block_size, or quantization: 8da8w for a model this narrow",
            )
