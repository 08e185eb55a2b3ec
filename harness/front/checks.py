"""From verdicts to a pytest outcome."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.errors import SpecError, SpecProblem
from harness.front.outcomes import Inconclusive, ModelFailed
from harness.spec import Spec
from harness.verdict import Verdict


def settle(verdicts: Sequence[Verdict], inconclusive: str = "inconclusive") -> None:
    """End a test as its verdicts say: the gravest one counts.

    Any failure fails it. What could not be judged though it should have been makes it
    inconclusive, or what `inconclusive` says: "fail", "pass" or "xfail". It is skipped,
    saying why, if there was nothing to judge at all.
    """
    failed = [verdict for verdict in verdicts if verdict.outcome == "fail"]
    if failed:
        raise ModelFailed(failed[0].kind, "\n".join(verdict.sentence for verdict in failed))
    if any(verdict.outcome == "inconclusive" for verdict in verdicts):
        _settle_undecided(_why_not_judged(verdicts), inconclusive)
        return
    if not any(verdict.outcome == "pass" for verdict in verdicts):
        pytest.skip(_why_not_judged(verdicts))


def _settle_undecided(sentence: str, counts_as: str) -> None:
    if counts_as == "fail":
        raise ModelFailed("inconclusive", f"{sentence} (--inconclusive=fail)")
    if counts_as == "xfail":
        pytest.xfail(sentence)
    if counts_as != "pass":
        raise Inconclusive(sentence)


def require_thresholds(verdicts: Sequence[Verdict], spec: Spec) -> None:
    """Under `--strict`: SpecError if the spec has nothing to judge a number by."""
    missing = [verdict for verdict in verdicts if verdict.reason == "no_threshold"]
    if missing:
        raise SpecError(
            spec.path,
            [SpecProblem(spec.path, 1, 1, "$", verdict.sentence) for verdict in missing],
            hint="add the threshold, or run without --strict",
        )


def summary_word(verdicts: Sequence[Verdict]) -> str:
    """One word for the table: fail, pass, or why nothing was judged."""
    outcomes = {verdict.outcome for verdict in verdicts}
    for word in ("fail", "inconclusive", "pass"):
        if word in outcomes:
            return word
    reasons = sorted({str(verdict.reason).replace("_", " ") for verdict in verdicts})
    return f"skip ({', '.join(reasons)})"


def summary_note(verdicts: Sequence[Verdict]) -> str:
    """Why nothing was judged, in a sentence; empty where something was."""
    judged = any(verdict.outcome in ("pass", "fail") for verdict in verdicts)
    return "" if judged else _why_not_judged(verdicts)


def _why_not_judged(verdicts: Sequence[Verdict]) -> str:
    sentences = [v.sentence for v in verdicts if v.outcome in ("skip", "inconclusive")]
    return "; ".join(dict.fromkeys(sentences))
