"""Constant methods of the decoder PTE, as ExecuTorch's own export writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.compile.job import Job
from models.checkpoint import Checkpoint
from models.decoder import DecoderConfig

if TYPE_CHECKING:
    from harness.compile.quantize import Boundary


def constant_methods(
    job: Job, checkpoint: Checkpoint, config: DecoderConfig, boundaries: Mapping[str, Boundary]
) -> dict[str, Any]:
    """Names and values of the contract.

    ExecuTorch hard-codes bos 1 and eos 2, which are wrong for these models; here they are
    the tokenizer's and the first stop token. `get_kv_output_{i}_quant_attr` counts the
    outputs: K of every layer, then V of every layer.

    Args:
        boundaries: encodings by method, all equal; empty for float graphs.
    """
    bos = checkpoint.tokenizer.bos_token_id
    constants: dict[str, Any] = {
        "get_ar_len": job.ar_lens[0],
        "get_bos_id": 1 if bos is None else int(bos),
        "get_eos_id": checkpoint.stop_token_ids[0],
        "get_dim": config.dim,
        "get_head_dim": config.head_dim,
        "get_max_batch_size": 1,
        "get_max_seq_len": job.max_seq_len,
        "get_max_context_len": config.context_length,
        "get_n_bos": 1,
        "get_n_eos": 1,
        "get_n_kv_heads": config.n_kv_heads,
        "get_n_layers": config.n_layers,
        "get_vocab_size": config.vocab_size,
        "get_use_kv_cache": True,
        "get_kv_io_bit_width": job.made_by.kv_cache_bits,
        "image_token_id": checkpoint.image_token_id,
    }
    for boundary in list(boundaries.values())[:1]:
        constants["get_logits_scale"] = boundary.logits.scale
        constants["get_logits_zero_point"] = boundary.logits.zero_point
        for index, cache in enumerate(boundary.cache_outputs):
            constants[f"get_kv_output_{index}_quant_attr"] = [
                cache.scale,
                cache.zero_point,
                cache.quant_min,
                cache.quant_max,
                cache.dtype,
            ]
    return constants
