"""The roofline: how many tokens a second the DRAM of a SoC allows a bundle.

The HTP compiler says how many bytes one inference of each graph moves to and from DRAM. The
SoC's peak bandwidth divided by the bytes of a step is an upper bound of the rate of steps:
what the HTP computes, the CPU does and the bus loses can only make it lower.
"""

from __future__ import annotations

from harness.manifest import Manifest, MethodFacts
from harness.socs import Soc

DECODE, PREFILL = "decode_tokens_per_s", "prefill_tokens_per_s"
_METHODS = {
    DECODE: ("kv_forward", "tok_embedding_kv_forward"),
    PREFILL: ("prefill_forward", "tok_embedding_prefill_forward"),
}


def step_bytes(manifest: Manifest, metric: str, mode: str) -> int | None:
    """DRAM bytes of one step of decoder and token embedding; None if a compiler was silent."""
    parts = []
    for name in _METHODS[DECODE if mode == "kv" else metric]:
        method = _find_method(manifest, name)
        if method is None or method.dram_read_bytes is None:
            return None
        parts.append(method.dram_read_bytes + (method.dram_write_bytes or 0))
    return sum(parts)


def dram_bounds(manifest: Manifest, soc: Soc, mode: str) -> dict[str, float]:
    """Upper bound in tokens per second, by metric, as far as it is known.

    A decode step gives one token, in lookahead as many as were accepted: there decoding has
    no bound of this kind. A prefill step takes as many as its graph is wide.
    `e2e_tokens_per_s` counts the same tokens over a longer time: the bound of decoding is
    also its.
    """
    if soc.dram_gb_per_s is None:
        return {}
    bytes_per_s = soc.dram_gb_per_s * 1e9
    bounds = {}
    decode = step_bytes(manifest, DECODE, mode)
    if decode and mode != "lookahead":
        bounds[DECODE] = bounds["e2e_tokens_per_s"] = bytes_per_s / decode
    prefill = step_bytes(manifest, PREFILL, mode)
    if prefill:
        width = 1 if mode == "kv" else manifest.prefill_ar_len
        bounds[PREFILL] = width * bytes_per_s / prefill
    return bounds


def _find_method(manifest: Manifest, name: str) -> MethodFacts | None:
    for component in manifest.components.values():
        if name in component.methods:
            return component.methods[name]
    return None
