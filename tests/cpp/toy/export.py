"""Toys as PTEs for ExecuTorch's own kernels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tests.cpp.toy.model import ToyVlm
from tests.cpp.toy.spec import IMAGE_SIDE, LAYERS


def write_program(
    path: Path,
    methods: dict[str, tuple[nn.Module, tuple[Tensor, ...]]],
    constant_methods: dict[str, float | int] | None = None,
    *,
    planned_io: bool = False,
) -> None:
    """Exports `methods` (name -> module, example inputs) into one PTE for ExecuTorch's kernels."""
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.passes import MemoryPlanningPass

    exported = {
        name: torch.export.export(module, inputs, strict=False)
        for name, (module, inputs) in methods.items()
    }
    edge = to_edge(
        exported,
        constant_methods=constant_methods,
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    config = ExecutorchBackendConfig(
        memory_planning_pass=MemoryPlanningPass(
            alloc_graph_input=planned_io, alloc_graph_output=planned_io
        )
    )
    path.write_bytes(edge.to_executorch(config).buffer)


def write_ptes(toy: ToyVlm, folder: Path) -> None:
    """Writes vision_encoder.pte, tok_embedding.pte and text_decoder.pte (both methods)."""
    import executorch.kernels.quantized  # noqa: F401  registers the out variants

    spec = toy.spec
    write_program(
        folder / "vision_encoder.pte",
        {"forward": (toy.vision_encoder, (torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE),))},
        planned_io=spec.planned_io,
    )
    write_text_ptes(toy, folder, 1, "")
    if spec.lookahead is not None:
        write_text_ptes(toy, folder, spec.lookahead_ar_len, "_lookahead")


def write_text_ptes(toy: ToyVlm, folder: Path, decode_ar_len: int, suffix: str) -> None:
    """Writes tok_embedding and text_decoder for a decode graph of this width."""
    spec = toy.spec
    embedding_inputs = {
        "tok_embedding_kv_forward": decode_ar_len,
        "tok_embedding_prefill_forward": spec.ar_len,
    }
    write_program(
        folder / f"tok_embedding{suffix}.pte",
        {
            name: (toy.token_embedding, (torch.zeros(1, width, dtype=torch.int32),))
            for name, width in embedding_inputs.items()
        },
        planned_io=spec.planned_io,
    )
    constants: dict[str, float | int] = {"get_n_layers": LAYERS, **dict(spec.constant_methods)}
    if spec.quantised:
        constants["get_logits_scale"] = spec.logits.scale
        constants["get_logits_zero_point"] = spec.logits.zero_point
    if spec.max_seq_len is not None:
        constants["get_max_seq_len"] = spec.max_seq_len
    write_program(
        folder / f"text_decoder{suffix}.pte",
        {
            "kv_forward": (toy.decode, toy.example_inputs(decode_ar_len)),
            "prefill_forward": (toy.prefill, toy.example_inputs(spec.ar_len)),
        },
        constants,
        planned_io=spec.planned_io,
    )


def write_odd_decoders(toy: ToyVlm, folder: Path) -> None:
    """Decoders that a runner must refuse, or that serve one mode only."""
    kv_only = {"kv_forward": (toy.decode, toy.example_inputs(1))}
    write_program(folder / "decoder_kv_only.pte", kv_only)
    both = {**kv_only, "prefill_forward": (toy.prefill, toy.example_inputs(toy.spec.ar_len))}
    write_program(folder / "decoder_float_encodings.pte", both, {"get_k_scale_output_0": 1.0})
    toy.decode.decoder.head.bias.data[5] = float("nan")
    write_program(folder / "decoder_nan.pte", {"kv_forward": (toy.decode, toy.example_inputs(1))})
