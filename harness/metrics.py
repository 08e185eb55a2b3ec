"""Numbers from a report's raw time stamps. Pure: no device, no clock.

Each is of one turn; loading and memory are the process's and so the same for all its turns.
Every function returns None where the number is undefined (a rate over no time, a gap
between tokens when there was one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report import Report, Turn

_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_BYTES_PER_MIB = 2**20


def decode_tokens_per_s(turn: Turn) -> float | None:
    """Generated tokens after the first / (last token - first token)."""
    tokens = turn.timestamps_ns.tokens
    return _per_s(len(tokens) - 1, tokens[-1] - tokens[0]) if len(tokens) > 1 else None


def prefill_tokens_per_s(turn: Turn) -> float | None:
    """Prompt tokens, the image's included / (prefill end - prefill begin), encoder excluded."""
    begin, end = turn.timestamps_ns.prefill
    return _per_s(turn.prompt_tokens, end - begin)


def e2e_tokens_per_s(turn: Turn) -> float | None:
    """Generated tokens / (inference end - inference start), encoder and prefill included.

    ExecuTorch's scripts call it `inference_speed`. They leave out the first token, which
    prefill makes; this counts it, as the report lists it.
    """
    stamps = turn.timestamps_ns
    return _per_s(len(stamps.tokens), stamps.inference_end - stamps.inference_start)


def ttft_ms(turn: Turn) -> float | None:
    """First token - inference start, encoder included."""
    stamps = turn.timestamps_ns
    if not stamps.tokens:
        return None
    return (stamps.tokens[0] - stamps.inference_start) / _NS_PER_MS


def encoder_ms(turn: Turn) -> float | None:
    """Time in the vision encoder, all pictures of the prompt together; None without one."""
    spans = turn.timestamps_ns.images
    return sum(end - begin for begin, end in spans) / _NS_PER_MS if spans else None


def model_load_ms(report: Report) -> float | None:
    """From the first component's load begin to the last one's load end."""
    spans = report.load_ns.spans
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / _NS_PER_MS


def itl_p50_ms(turn: Turn) -> float | None:
    """Median of the gaps between neighbouring tokens."""
    return _quantile(_gaps_ms(turn), 0.50)


def itl_p95_ms(turn: Turn) -> float | None:
    """95th percentile of the gaps between neighbouring tokens."""
    return _quantile(_gaps_ms(turn), 0.95)


def peak_rss_mib(report: Report) -> float | None:
    """Largest resident set of the runner process, MiB."""
    return report.memory.peak_rss_bytes / _BYTES_PER_MIB


_OF_TURN: Mapping[str, Callable[[Turn], float | None]] = {
    "decode_tokens_per_s": decode_tokens_per_s,
    "prefill_tokens_per_s": prefill_tokens_per_s,
    "e2e_tokens_per_s": e2e_tokens_per_s,
    "ttft_ms": ttft_ms,
    "encoder_ms": encoder_ms,
    "itl_p50_ms": itl_p50_ms,
    "itl_p95_ms": itl_p95_ms,
}
_OF_PROCESS: Mapping[str, Callable[[Report], float | None]] = {
    "model_load_ms": model_load_ms,
    "peak_rss_mib": peak_rss_mib,
}


def measure_all(turn: Turn, report: Report) -> dict[str, float | None]:
    """Every metric of `harness.vocabulary.METRIC_KINDS`, of one turn of the report."""
    of_turn = {name: measure(turn) for name, measure in _OF_TURN.items()}
    return of_turn | {name: measure(report) for name, measure in _OF_PROCESS.items()}


def _per_s(count: int, duration_ns: int) -> float | None:
    return count * _NS_PER_S / duration_ns if duration_ns > 0 else None


def _gaps_ms(turn: Turn) -> list[float]:
    stamps = turn.timestamps_ns.tokens
    return [(later - earlier) / _NS_PER_MS for earlier, later in pairwise(stamps)]


def _quantile(values: list[float], level: float) -> float | None:
    """Linear interpolation between the order statistics (numpy's default, Hyndman-Fan 7)."""
    if not values:
        return None
    ordered = sorted(values)
    position = level * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
