"""How errors and judgements end tests, and the session.

| what happened | pytest | exit status |
|---|---|---|
| the check held | passed | 0 |
| nothing to judge: no floor, other conditions, simulated | skipped | 0 |
| a number that has a floor is undefined | inconclusive | 75 |
| trouble with a device, adb or the cable, a run without end | error | 70 |
| compile, spec, bundle, Runtime or runner trouble | error | 1 |
| no floor for this SoC, under `--strict` | error | 1 |
| the check did not hold: accuracy, rate, size | failed | 1 |
| the command line or a spec is wrong, seen at the start | usage error, no test is run | 4 |

The session's exit status is that of the gravest thing: 1, else 70, else 75. pytest's own 2
(interrupted), 3 (internal error), 4 (usage) and 5 (no test selected) keep their meaning.

An error is raised while a fixture makes what the test needs, so pytest counts it as an
error; a judgement is given in the test itself. The process that ran the test (a worker,
under pytest-xdist) writes what it knows on the report; the one that prints reads it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

# In public they are attributes of functions (`pytest.fail.Exception`), which cannot be a base.
from _pytest.outcomes import Failed, Skipped

from harness.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INFRA, HarnessError

_NOTES = "vlm_device_harness"
CLASS_PROPERTY = "failure.class"


class ModelFailed(Failed):
    """A check of `kind` ("accuracy", "perf", "size") did not hold."""

    def __init__(self, kind: str, sentence: str) -> None:
        self.kind = kind
        super().__init__(sentence, pytrace=False)


class Inconclusive(Skipped):
    """A check that has something to judge by, but nothing to judge."""

    kind = "inconclusive"


@dataclass
class Tally:
    """What occurred in this session, for its exit status."""

    failed: bool = False
    infra: bool = False
    inconclusive: bool = False
    gave_up: bool = False

    def count(self, report: pytest.TestReport) -> None:
        """Take note of one phase of one test."""
        notes = notes_of(report)
        self.gave_up |= bool(notes.get("gave_up"))
        match notes.get("exit_status"):
            case status if status == EXIT_INFRA:
                self.infra = True
            case status if status == EXIT_INCONCLUSIVE:
                self.inconclusive = True
            case _:
                self.failed |= report.failed

    def exit_status(self, of_pytest: int) -> int:
        """The session's exit status."""
        # What a worker of pytest-xdist gives up is an interruption to its controller.
        stopped = self.gave_up and of_pytest == pytest.ExitCode.INTERRUPTED
        if of_pytest not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not stopped:
            return of_pytest
        if self.failed:
            return EXIT_FAILED
        if self.infra:
            return EXIT_INFRA
        return EXIT_INCONCLUSIVE if self.inconclusive else of_pytest


def annotate(report: pytest.TestReport, **notes: object) -> None:
    """Write on a report; plain values only, since it may travel to another process."""
    vars(report).setdefault(_NOTES, {}).update(notes)


def notes_of(report: pytest.TestReport) -> Mapping[str, Any]:
    """What was written on a report."""
    notes: Mapping[str, Any] = vars(report).get(_NOTES, {})
    return notes


def tell_outcome(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
    """Write on a test's report what its error means.

    An error of the harness is told in its own words, without a Python traceback.
    """
    if isinstance(error, HarnessError):
        report.longrepr = str(error)
        annotate(report, exit_status=error.exit_status)
    elif isinstance(error, Inconclusive):
        annotate(report, exit_status=EXIT_INCONCLUSIVE)
    if isinstance(error, HarnessError | Inconclusive | ModelFailed):
        # The test's own: JUnit takes its properties from the report of the last phase.
        item.user_properties.append((CLASS_PROPERTY, error.kind))
        annotate(report, failure_class=error.kind)


def shorten_repeats(reports: Iterable[pytest.TestReport]) -> None:
    """Leave the first line of a message that was told in full for an earlier test."""
    first_told: dict[str, str] = {}
    for report in reports:
        text = report.longrepr
        if not isinstance(text, str) or "exit_status" not in notes_of(report):
            continue
        earlier = first_told.setdefault(text, report.nodeid)
        if earlier != report.nodeid:
            report.longrepr = f"{text.splitlines()[0]}\n  (told in full for {earlier})"
