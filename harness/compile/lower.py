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

Inputs = tuple[torch.Tensor, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One method to be: a quantised graph, its example inputs, its quantised boundary.

    Inputs whose shape is in `quantized_inputs`, and every output when `quantized_outputs`,
    cross the PTE's boundary as 16-bit integers; all others as float32 or int32.
    """

    module: GraphModule
    example: Inputs
    quantized_inputs: frozenset[Shape] = frozenset()
    quantized_outputs: bool = False


@dataclass(frozen=True)
class HtpOptions:
    """What the HTP compiler is told.

    `share_weights` lets the graphs of one PTE share their weights: needed on silicon,
    refused by the x86 simulator. `split_heads` lets the backend split attention into single
    heads. `shared_buffer` lets inputs and outputs lie in memory shared with the HTP.
    """

    soc: str
    share_weights: bool
    split_heads: bool = False
    shared_buffer: bool = True
    constants: Mapping[str, Any] = field(default_factory=dict)


def lower(graphs: Mapping[str, Graph], options: HtpOptions) -> bytes:
    """One PTE whose methods are `graphs`, each compiled for the HTP of `options.soc`."""
    specs = generate_qnn_executorch_compiler_spec(
        soc_model=getattr(QcomChipset, options.soc),
        backend_options=generate_htp_compiler_spec(
            use_fp16=False, use_weight_sharing=options.share_weights
        ),
        shared_buffer=options.shared_buffer,
        use_mha2sha=options.split_heads,
    )
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


def _passes(graph: Graph) -> Any:
    """The backend's default passes; the quantised boundary is tagged where there is one."""
    manager = get_qnn_pass_manager_cls(QnnExecuTorchBackendType.kHtpBackend)
    passes = manager.get_capture_program_passes()
    if graph.quantized_inputs or graph.quantized_outputs:
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
            quantized = tuple(value.shape) in graph.quantized_inputs and value.is_floating_point()
            return torch.uint16 if quantized else None
        is_output = any(user.op == "output" for user in node.users)
        return torch.uint16 if graph.quantized_outputs and is_output else None

    return dtype_of
