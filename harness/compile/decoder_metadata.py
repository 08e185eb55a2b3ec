"""Constant methods of the decoder PTE, as ExecuTorch's own export writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.compile.encodings import Boundary
from harness.compile.job import Job
from models.checkpoint import Checkpoint
from models.decoder import DecoderConfig


def constant_methods(
    job: Job, checkpoint: Checkpoint, config: DecoderConfig, boundaries: Mapping[str, Boundary]
) -> dict[str, Any]:
    """Names and values of the contract.

    ExecuTorch hard-codes bos 1 and eos 2, which are wrong for these models; here they are
    the tokenizer's and the first stop token.

    Args:
        boundaries: encodings by method, the decode graph's first; empty for float graphs.
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
        constants |= _of_boundary(boundary)
    if len(set(boundaries.values())) > 1:
        constants |= _of_requantisation(list(boundaries.values()), config.n_layers)
    return constants


def _of_boundary(boundary: Boundary) -> dict[str, Any]:
    """`get_kv_output_{i}_quant_attr` counts the outputs: K of every layer, then V of every one."""
    constants: dict[str, Any] = {
        "get_logits_scale": boundary.logits.scale,
        "get_logits_zero_point": boundary.logits.zero_point,
    }
    for index, cache in enumerate(boundary.caches):
        constants[f"get_kv_output_{index}_quant_attr"] = [
            cache.scale,
            cache.zero_point,
            cache.quant_min,
            cache.quant_max,
            cache.dtype,
        ]
    return constants


def _of_requantisation(boundaries: Sequence[Boundary], n_layers: int) -> dict[str, Any]:
    """What the prefill graph writes ("output") and the decode graph reads ("input").

    The names are those of ExecuTorch's first vision-language runner.
    """
    decode, prefill = boundaries
    constants: dict[str, Any] = {}
    for side, boundary in (("output", prefill), ("input", decode)):
        for index, cache in enumerate(boundary.caches):
            kind, layer = "kv"[index // n_layers], index % n_layers
            constants[f"get_{kind}_scale_{side}_{layer}"] = cache.scale
            constants[f"get_{kind}_zero_point_{side}_{layer}"] = cache.zero_point
    return constants
