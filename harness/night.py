"""What a person should know of a night: what failed, since when, by how much, where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.journal import Record
from harness.levels import HOW_TO_FIND_CHANGES, can_find_changes, last_change
from harness.vocabulary import METRIC_KINDS

_BAD = ("fail", "error", "infra", "compile", "spec", "inconclusive")
_MOST_NAMED = 3  # tests of a finding
_MOST_TOLD = 20  # findings; more are not read in a minute


@dataclass(frozen=True)
class Change:
    """A metric's level moved: `at` is the first record after, `share` -0.1 for a tenth less."""

    metric: str
    at: str
    git_commit: str | None
    share: float


@dataclass(frozen=True)
class Finding:
    """What is to be told of a test; tests of which the same is told are told together."""

    outcome: str
    where: str
    lines: tuple[str, ...]


def summarize(records: Iterable[Record]) -> list[str]:
    """Lines about the last run of a journal, the worst first."""
    known = list(records)
    if not known:
        return ["the journal is empty: no test of the product has ended"]
    last = [record for record in known if record.run_id == known[-1].run_id]
    counts = Counter(record.outcome for record in last)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    lines = [f"night of {_minute(last[0].at)} UTC, commit {last[0].git_commit}: {told}"]
    findings = _findings([record for record in last if record.outcome in _BAD], known)
    for finding, names in list(findings.items())[:_MOST_TOLD]:
        heading = f"{finding.outcome.upper()} {_together(names)}{finding.where}"
        lines += [heading, *(f"    {line}" for line in finding.lines)]
    if len(findings) > _MOST_TOLD:
        lines.append(f"and {len(findings) - _MOST_TOLD} more findings: see the session's output")
    lines += _not_run(last, known)
    if not findings:
        lines.append("nothing failed")
    elif not can_find_changes():
        lines.append(HOW_TO_FIND_CHANGES)
    return lines


def _findings(bad: Sequence[Record], known: Sequence[Record]) -> dict[Finding, list[str]]:
    """The names of the tests of each finding, the worst first."""
    begun = {record.run_id: record.at for record in reversed(known)}
    findings: dict[Finding, list[str]] = {}
    for record in sorted(bad, key=lambda each: _BAD.index(each.outcome)):
        history = [other for other in known if _is_same(other, record)]
        findings.setdefault(_finding(record, history, begun), []).append(_name(record))
    return findings


def _name(record: Record) -> str:
    return record.test.rpartition("::")[2]


def _minute(at: str) -> str:
    """ "2026-11-06 01:00" of an ISO time."""
    return at[:16].replace("T", " ")


def _together(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _not_run(last: Sequence[Record], known: Sequence[Record]) -> list[str]:
    """A line on the tests of the run before that are missing: a night cut short looks green."""
    tonight = last[0].run_id
    before = [record for record in known if record.run_id != tonight]
    if not before:
        return []
    of_run = [record for record in before if record.run_id == before[-1].run_id]
    missing = {record.test: record for record in of_run}
    for record in last:
        missing.pop(record.test, None)
    if not missing:
        return []
    names = _together([_name(record) for record in missing.values()])
    return [f"NOT RUN, though the night of {_minute(of_run[0].at)} did: {names}"]


def _is_same(one: Record, other: Record) -> bool:
    """The same test on the same SoC; one that ended early may not have known its SoC."""
    socs = {one.context.soc, other.context.soc} - {None}
    return one.test == other.test and len(socs) < 2


def _finding(record: Record, history: Sequence[Record], begun: Mapping[str, str]) -> Finding:
    """Args: `history` is of the same test, `begun` when each run began."""
    places = [place for place in (record.context.soc, record.context.serial) if place]
    wrong = [v.sentence for v in record.verdicts if v.outcome in ("fail", "inconclusive")]
    lines = [*(wrong or _gist(record.message)), _since(history, begun)]
    if can_find_changes():
        lines += [
            f"{change.metric} changed by {100 * change.share:+.1f} % at {_minute(change.at)} "
            f"(commit {change.git_commit})"
            for change in changes(record, history)
        ]
    return Finding(record.outcome, f" on {', '.join(places)}" if places else "", tuple(lines))


def _gist(message: str) -> list[str]:
    """What was wrong, and what to do about it if the message says so."""
    first, *others = message.splitlines() or [""]
    return [first, *(line.strip() for line in others if line.startswith("  hint:"))]


def _since(history: Sequence[Record], begun: Mapping[str, str]) -> str:
    """Since when it is not well. Nights in which it was skipped tell nothing."""
    nights: list[str] = []
    for record in reversed(history):
        night = _minute(begun[record.run_id])
        if record.outcome in _BAD:
            nights.append(night)
        elif record.outcome == "pass":
            return f"since {nights[-1]} ({_count(nights)}); it last passed {night}"
    return f"since {nights[-1]} ({_count(nights)}); it never passed in this journal"


def _count(nights: Sequence[str]) -> str:
    number = len(set(nights))
    return "1 night" if number == 1 else f"{number} nights"


def changes(record: Record, history: Sequence[Record]) -> list[Change]:
    """Each metric of a test whose level moved on the phone of its last record.

    Phones of one SoC differ by more than a change does; what a simulator takes is no speed.
    """
    found = []
    measured = [
        other
        for other in history
        if other.context.serial == record.context.serial and not other.context.simulated
    ]
    for metric in METRIC_KINDS:
        points = [(value, r) for r in measured if (value := r.metrics.get(metric))]
        change = last_change([value for value, _ in points])
        if change is not None:
            at, share = change
            first = points[at][1]
            found.append(Change(metric, first.at, first.git_commit, share))
    return found
