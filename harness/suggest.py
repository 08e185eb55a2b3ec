"""Thresholds from data: what to demand, so that an unchanged model will pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median, stdev

from harness.journal import Record
from harness.vocabulary import METRIC_KINDS

# One-sided 99 % quantiles of Student's t, by degrees of freedom (NIST/SEMATECH e-Handbook
# of Statistical Methods, 1.3.6.7.2). Between two the smaller degrees count: wider, never
# narrower.
_T99 = {1: 31.821, 2: 6.965, 3: 4.541, 4: 3.747, 5: 3.365, 6: 3.143, 7: 2.998, 8: 2.896}
_T99 |= {9: 2.821, 10: 2.764, 12: 2.681, 15: 2.602, 20: 2.528, 30: 2.457, 60: 2.390}
FEWEST_NIGHTS = 3


@dataclass(frozen=True)
class Group:
    """What a threshold is for."""

    model: str
    mode: str
    soc: str
    metric: str
    max_seq_len: int
    target: str
    backend: str


@dataclass(frozen=True)
class Suggestion:
    """A bound and the noise it was made from.

    `spread` is the standard deviation between nights of the logarithm; `nights` medians in
    the metric's unit, in order of time.
    """

    group: Group
    bound: float
    median: float
    spread: float
    nights: tuple[float, ...]

    def __str__(self) -> str:
        group, kind = self.group, METRIC_KINDS[self.group.metric]
        word = "floor" if kind.better == "higher" else "ceiling"
        return (
            f"{group.model}-{group.mode} on {group.soc}: {word} {self.bound:g} {kind.unit} for "
            f"{group.metric} (median {self.median:.1f} of {len(self.nights)} nights, "
            f"spread between nights {100 * self.spread:.1f} %)"
        )


def suggest(records: Iterable[Record]) -> list[Suggestion]:
    """A bound for each model, mode, SoC and metric with clean repeats of three nights or more.

    The bound is that of a prediction interval of 99 % for one more night's median
    (Hahn and Meeker, Statistical Intervals, 1991, 4.7), on logarithms.
    """
    nights: dict[Group, list[float]] = {}
    for record in records:
        for group, value in _medians(record):
            nights.setdefault(group, []).append(value)
    return [
        _suggestion(group, values)
        for group, values in sorted(nights.items(), key=lambda item: str(item[0]))
        if len(values) >= FEWEST_NIGHTS
    ]


def t99(degrees: int) -> float:
    """The one-sided 99 % quantile of Student's t, rounded to the safe side."""
    return _T99[max(known for known in _T99 if known <= degrees)]


def _medians(record: Record) -> Iterable[tuple[Group, float]]:
    context = record.context
    if context.simulated or context.model is None or context.soc is None:
        return
    clean = [s.metrics for s in record.samples if not s.throttled and s.side != "old"]
    for metric in METRIC_KINDS:
        values = [value for metrics in clean if (value := metrics.get(metric))]
        if values:
            group = Group(
                context.model,
                context.mode or "",
                context.soc,
                metric,
                context.max_seq_len or 0,
                context.target or "silicon",
                context.backend or "qnn",
            )
            yield group, median(values)


def _suggestion(group: Group, values: list[float]) -> Suggestion:
    logs = [math.log(value) for value in values]
    spread = stdev(logs)
    reach = t99(len(logs) - 1) * spread * math.sqrt(1 + 1 / len(logs))
    sign = -1 if METRIC_KINDS[group.metric].better == "higher" else 1
    bound = math.exp(fmean(logs) + sign * reach)
    return Suggestion(group, _rounded(bound, sign), median(values), spread, tuple(values))


def _rounded(value: float, sign: int) -> float:
    """Three digits, rounded to the side on which more passes."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{(math.ceil if sign > 0 else math.floor)(value / step) * step:.6g}")


def bound_key(group: Group) -> str:
    """The key in the spec: `sm8750_token_rate`, or `sm8750_ttft_ms` for a ceiling."""
    soc = group.soc.lower()
    higher = METRIC_KINDS[group.metric].better == "higher"
    return f"{soc}_token_rate" if higher else f"{soc}_{group.metric}"


def patch_document(document: Mapping[str, object], suggestion: Suggestion) -> bool:
    """Put a suggestion into a spec as ruamel.yaml read it; False if no entry is there for it.

    Only entries for the same metric and conditions are changed: which numbers are worth a
    bound is for people to say.
    """
    group = suggestion.group
    higher = METRIC_KINDS[group.metric].better == "higher"
    entries = document.get("floors" if higher else "ceilings")
    if not isinstance(entries, list):
        return False
    for entry in entries:
        wanted = {
            "metric": group.metric,
            "mode": group.mode,
            "max_seq_len": group.max_seq_len,
            "target": group.target,
            "backend": group.backend,
        }
        defaults = {"target": "silicon", "backend": "qnn"}
        if all(entry.get(key, defaults.get(key)) == value for key, value in wanted.items()):
            entry[bound_key(group)] = suggestion.bound
            return True
    return False
