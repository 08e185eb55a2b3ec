"""What a person should know of a night: what failed, since when, by how much, where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from harness.journal import Record
from harness.vocabulary import METRIC_KINDS

_BAD = ("fail", "error", "infra", "compile", "spec", "inconclusive")
_FEWEST = 3  # nights on either side of a change
_CHANGE = 3.0  # robust standard deviations between the two sides
_LEAST_CHANGE = 0.02


@dataclass(frozen=True)
class Change:
    """A metric's level moved: `at` is the first record after, `share` -0.1 for a tenth less."""

    metric: str
    at: str
    git_commit: str | None
    share: float


def summarize(records: Iterable[Record]) -> list[str]:
    """Lines about the last run of a journal, the worst first."""
    known = list(records)
    if not known:
        return ["the journal is empty: no test of the product has ended"]
    last = [record for record in known if record.run_id == known[-1].run_id]
    counts = Counter(record.outcome for record in last)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    lines = [f"run {last[0].run_id}, {last[0].at}, commit {last[0].git_commit}: {told}"]
    bad = [record for record in last if record.outcome in _BAD]
    for record in sorted(bad, key=lambda each: _BAD.index(each.outcome)):
        lines += _told(record, [other for other in known if _is_same(other, record)])
    if not bad:
        lines.append("nothing failed")
    return lines


def find_change(values: Sequence[float]) -> int | None:
    """Where a series moved to another level: the index of the first value after, else None.

    The split whose two medians leave the least absolute deviation; they must be at least 2 %
    and 3 robust standard deviations apart.
    """
    logs = [math.log(value) for value in values]
    splits = range(_FEWEST, len(logs) - _FEWEST + 1)
    if not splits:
        return None
    best = min(splits, key=lambda split: sum(_deviations(logs, split)))
    distance = abs(median(logs[best:]) - median(logs[:best]))
    noise = max(1.4826 * median(_deviations(logs, best)), 1e-3)
    return best if distance >= max(_LEAST_CHANGE, _CHANGE * noise) else None


def _deviations(logs: Sequence[float], split: int) -> list[float]:
    """Distance of each value from the median of its side."""
    return [abs(value - median(side)) for side in (logs[:split], logs[split:]) for value in side]


def _is_same(one: Record, other: Record) -> bool:
    return (one.test, one.context.soc) == (other.test, other.context.soc)


def _told(record: Record, history: Sequence[Record]) -> list[str]:
    context = record.context
    where = f"{context.soc or 'unknown SoC'}, {context.serial or 'no phone'}"
    lines = [f"{record.outcome.upper()} {record.test.rpartition('::')[2]} on {where}"]
    wrong = [v.sentence for v in record.verdicts if v.outcome in ("fail", "inconclusive")]
    lines += [f"    {sentence}" for sentence in wrong or record.message.splitlines()[:1]]
    lines.append(f"    {_since(history)}")
    lines += [
        f"    {change.metric} changed by {100 * change.share:+.1f} % at {change.at} "
        f"(commit {change.git_commit})"
        for change in changes(history)
    ]
    return lines


def _since(history: Sequence[Record]) -> str:
    """Since when it is not well."""
    nights = 0
    for record in reversed(history):
        if record.outcome not in _BAD:
            return f"since {history[-nights].at}, {nights} runs; well before, at {record.at}"
        nights += 1
    return f"in each of its {nights} runs, since {history[0].at}"


def changes(history: Sequence[Record]) -> list[Change]:
    """Each metric of a test whose level moved."""
    found = []
    for metric in METRIC_KINDS:
        points = [(value, r) for r in history if (value := r.metrics.get(metric))]
        values = [value for value, _ in points]
        split = find_change(values)
        if split is not None:
            share = median(values[split:]) / median(values[:split]) - 1
            first = points[split][1]
            found.append(Change(metric, first.at, first.git_commit, share))
    return found
