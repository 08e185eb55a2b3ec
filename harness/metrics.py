"""Numbers from a report's raw time stamps. Pure: no device, no clock.

Every function returns None where the number is undefined (a rate over no time, a gap
between tokens when there was one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from harness.report import Report
from harness.vocabulary import METRIC_KINDS, MetricKind

_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_BYTES_PER_MIB = 2**20


@dataclass(frozen=True)
class Metric:
    """A number and how to get it out of a report."""

    kind: MetricKind
    measure: Callable[[Report], float | None]


def decode_tokens_per_s(report: Report) -> float | None:
    """Generated tokens after the first / (last token - first token)."""
    tokens = report.timestamps_ns.tokens
    return _per_s(len(tokens) - 1, tokens[-1] - tokens[0]) if len(tokens) > 1 else None


def prefill_tokens_per_s(report: Report) -> float | None:
    """Prompt tokens, the image's included / (prefill end - prefill begin), encoder excluded."""
    begin, end = report.timestamps_ns.prefill
    return _per_s(report.prompt_tokens, end - begin)


def e2e_tokens_per_s(report: Report) -> float | None:
    """Generated tokens / (inference end - inference start), encoder and prefill included.

    ExecuTorch's scripts call it `inference_speed`. They leave out the first token, which
    prefill makes; this counts it, as the report lists it.
    """
    stamps = report.timestamps_ns
    return _per_s(len(stamps.tokens), stamps.inference_end - stamps.inference_start)


def ttft_ms(report: Report) -> float | None:
    """First token - inference start, encoder included."""
    stamps = report.timestamps_ns
    if not stamps.tokens:
        return None
    return (stamps.tokens[0] - stamps.inference_start) / _NS_PER_MS


def encoder_ms(report: Report) -> float | None:
    """Time in the vision encoder, all pictures of the prompt together; None without one."""
    spans = report.timestamps_ns.images
    return sum(end - begin for begin, end in spans) / _NS_PER_MS if spans else None


def model_load_ms(report: Report) -> float | None:
    """From the first component's load begin to the last one's load end."""
    spans = report.timestamps_ns.load.values()
    if not spans:
        return None
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / _NS_PER_MS


def itl_p50_ms(report: Report) -> float | None:
    """Median of the gaps between neighbouring tokens."""
    return _quantile(_gaps_ms(report), 0.50)


def itl_p95_ms(report: Report) -> float | None:
    """95th percentile of the gaps between neighbouring tokens."""
    return _quantile(_gaps_ms(report), 0.95)


def peak_rss_mib(report: Report) -> float | None:
    """Largest resident set of the runner process, MiB."""
    return report.memory.peak_rss_bytes / _BYTES_PER_MIB


METRICS = {
    name: Metric(METRIC_KINDS[name], measure)
    for name, measure in {
        "decode_tokens_per_s": decode_tokens_per_s,
        "prefill_tokens_per_s": prefill_tokens_per_s,
        "e2e_tokens_per_s": e2e_tokens_per_s,
        "ttft_ms": ttft_ms,
        "encoder_ms": encoder_ms,
        "model_load_ms": model_load_ms,
        "itl_p50_ms": itl_p50_ms,
        "itl_p95_ms": itl_p95_ms,
        "peak_rss_mib": peak_rss_mib,
    }.items()
}


def measure_all(report: Report) -> dict[str, float | None]:
    """Every metric of `METRICS` by name."""
    return {name: metric.measure(report) for name, metric in METRICS.items()}


def _per_s(count: int, duration_ns: int) -> float | None:
    return count * _NS_PER_S / duration_ns if duration_ns > 0 else None


def _gaps_ms(report: Report) -> list[float]:
    stamps = report.timestamps_ns.tokens
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
