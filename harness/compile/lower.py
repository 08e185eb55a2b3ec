"""From quantised graphs to a PTE: torch.fx passes, the HTP compiler, serialisation.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from executorch.backends.qualcomm._passes import TagQuantIO
from executorch.backends.qualcomm._passes.build_quant_io import BuildQuantIo
from executorch.backends.qualcomm._passes.qnn_pass_manager import get_qnn_pass_manager_cls
from executorch.backends.qualcomm.serialization.qc_schema import (
    QcomChipset,
    QnnExecuTorchBackendType,
    QnnExecuTorchHtpPerformanceMode,
)
from executorch.backends.qualcomm.utils.constants import (
    QCOM_PASS_ACTIVATE_KEY,
    QCOM_PASS_ARGS_KWARGS_DEFAULTS_KEY,
)
from executorch.backends.qualcomm.utils.utils import (
    generate_htp_compiler_spec,
    generate_qnn_executorch_compiler_spec,
    to_edge_transform_and_lower_to_qnn,
)
from executorch.exir import ExecutorchBackendConfig
from executorch.exir.passes.memory_planning_pass import MemoryPlanningPass
from torch.fx import GraphModule, Node

from harness.compile.sharding import split_into_shards

Inputs = tuple[torch.Tensor, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One method to be: a quantised graph, its example inputs, its quantised boundary.

    Inputs whose shape is in `integer_inputs` and the outputs of `integer_outputs`, by
    position, cross the PTE's boundary as the integers named; all others as float32 or int32.
    """

    module: GraphModule
    example: Inputs
    integer_inputs: Mapping[Shape, torch.dtype] = field(default_factory=dict)
    integer_outputs: tuple[torch.dtype, ...] = ()


@dataclass(frozen=True)
class HtpOptions:
    """What the HTP compiler is told.

    `share_weights` lets the graphs of one PTE share their weights: needed on silicon,
    refused by the x86 simulator. `half_precision` computes in fp16 what is not quantised.
    `performance_mode` is a name of the spec's. `split_heads` lets the backend split attention
    into single heads. `n_shards` contexts hold the `n_layers` of a decoder, in equal parts:
    one context has 4 GB of address space. `shared_buffer` lets inputs and outputs lie in
    memory shared with the HTP.
    """

    soc: str
    share_weights: bool
    half_precision: bool = False
    performance_mode: str = "burst"
    split_heads: bool = False
    n_layers: int = 0
    n_shards: int = 1
    shared_buffer: bool = True
    constants: Mapping[str, Any] = field(default_factory=dict)


def lower(graphs: Mapping[str, Graph], options: HtpOptions) -> bytes:
    """One PTE whose methods are `graphs`, each compiled for the HTP of `options.soc`."""
    specs = generate_qnn_executorch_compiler_spec(
        soc_model=getattr(QcomChipset, options.soc),
        backend_options=generate_htp_compiler_spec(
            use_fp16=options.half_precision,
            use_multi_contexts=options.n_shards > 1,
            use_weight_sharing=options.share_weights,
            htp_performance_mode=performance_mode(options.performance_mode),
        ),
        shared_buffer=options.shared_buffer,
        use_mha2sha=options.split_heads,
    )
    with split_into_shards(options.n_layers, options.n_shards):
        program = to_edge_transform_and_lower_to_qnn(
            {name: graph.module for name, graph in graphs.items()},
            {name: graph.example for name, graph in graphs.items()},
            dict.fromkeys(graphs, specs),
            passes_job={name: _passes(graph) for name, graph in graphs.items()},
            constant_methods=dict(options.constants) or None,
        )
    config = ExecutorchBackendConfig(
        # The runner owns every input and output buffer.
        memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False),
        passes=[BuildQuantIo()],
    )
    return bytes(program.to_executorch(config).buffer)


def performance_mode(name: str) -> QnnExecuTorchHtpPerformanceMode:
    """ "low_balanced" as kHtpLowBalanced."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    return QnnExecuTorchHtpPerformanceMode[f"kHtp{camel}"]


def _passes(graph: Graph) -> Any:
    """The backend's default passes; the quantised boundary is tagged where there is one."""
    manager = get_qnn_pass_manager_cls(QnnExecuTorchBackendType.kHtpBackend)
    passes = manager.get_capture_program_passes()
    if graph.integer_inputs or graph.integer_outputs:
        passes[TagQuantIO][QCOM_PASS_ACTIVATE_KEY] = True
        passes[TagQuantIO][QCOM_PASS_ARGS_KWARGS_DEFAULTS_KEY]["get_quant_io_dtype_fn"] = (
            _boundary_dtype(graph)
        )
    return passes


def _boundary_dtype(graph: Graph) -> Callable[[Node], torch.dtype | None]:
    def dtype_of(node: Node) -> torch.dtype | None:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return None
        if node.op == "placeholder":
            is_float = value.is_floating_point()
            return graph.integer_inputs.get(tuple(value.shape)) if is_float else None
        for user in node.users:
            if user.op == "output" and graph.integer_outputs:
                return graph.integer_outputs[list(user.args[0]).index(node)]
        return None

    return dtype_of
