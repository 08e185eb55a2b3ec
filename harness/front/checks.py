"""From a verdict to a pytest outcome."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.errors import SpecError, SpecProblem
from harness.front.session import Subject
from harness.verdict import Verdict


def settle(verdicts: Sequence[Verdict], subject: Subject, *, strict: bool) -> None:
    """Fail on any failed verdict; skip, saying why, if nothing was judged at all.

    Raises:
        SpecError: under `--strict`, when the spec has no threshold for this SoC.
    """
    failed = [verdict.sentence for verdict in verdicts if verdict.outcome == "fail"]
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
    if any(verdict.outcome == "pass" for verdict in verdicts):
        return
    missing = [verdict for verdict in verdicts if verdict.reason == "no_threshold"]
    if strict and missing:
        raise SpecError(
            subject.spec.path,
            [SpecProblem(subject.spec.path, 1, 1, "$", verdict.sentence) for verdict in missing],
            hint="add the threshold, or run without --strict",
        )
    pytest.skip("; ".join(verdict.sentence for verdict in verdicts))


def summary_word(verdicts: Sequence[Verdict]) -> str:
    """One word for the table: fail, pass, or why nothing was judged."""
    outcomes = {verdict.outcome for verdict in verdicts}
    for word in ("fail", "pass", "inconclusive"):
        if word in outcomes:
            return word
    reasons = sorted({str(verdict.reason).replace("_", " ") for verdict in verdicts})
    return f"skip ({', '.join(reasons)})"
