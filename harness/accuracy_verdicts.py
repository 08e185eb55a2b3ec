"""Verdicts on the model as a whole: against the float model, and on questions with answers.

Pure functions of a spec's demands and what was measured; the measures are in
`harness.accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.answers import is_exactly
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.accuracy.agreement import Agreement
    from harness.accuracy.logits import LogitsDistance
    from harness.spec.model import AgreementDemand, LogitsDemand, PerplexityDemand, QuestionSet


@dataclass(frozen=True)
class ReplyPair:
    """A case's reply beside the float model's, as texts, and where they part."""

    case: str
    reply: str
    reference: str
    agreement: Agreement


def judge_agreement(demand: AgreementDemand, pair: ReplyPair) -> Verdict:
    """Whether a reply follows the float model's far enough.

    Parting within the tie margin is no fault, whatever the share.
    """
    agreement = pair.agreement
    details = {
        "case": pair.case,
        "reply": pair.reply,
        "reference": pair.reference,
        "share": agreement.share,
        "min_share": demand.min_share,
        "parts_at": agreement.parts_at,
        "margin": agreement.margin,
    }
    if agreement.parts_at is None:
        sentence = f"the reply to {pair.case} equals the float model's, {agreement.length} tokens"
        return Verdict("pass", "accuracy", sentence, details=details)
    tie = agreement.margin is not None and agreement.margin <= demand.tie_margin
    enough = agreement.share >= demand.min_share
    margin = (
        ""
        if agreement.margin is None
        else f", where it prefers its own by {agreement.margin:.3g} logits"
    )
    sentence = (
        f"the reply to {pair.case} parts from the float model's at token {agreement.parts_at} of "
        f"{agreement.length}{margin}: {pair.reply!r}, float {pair.reference!r}"
    )
    if tie:
        sentence += f" (a tie: at most {demand.tie_margin:g} logits)"
    elif not enough:
        sentence += f" ({agreement.share:.0%} agree, {demand.min_share:.0%} demanded)"
    return Verdict("pass" if tie or enough else "fail", "accuracy", sentence, details=details)


def judge_logits(demand: LogitsDemand, case: str, rows: Sequence[LogitsDistance]) -> Verdict:
    """Whether the logits stay near the float model's at each position of a case's reply.

    Args:
        rows: one per position, at least one.
    """
    checks: tuple[tuple[str, float | None, Callable[[LogitsDistance], float], int], ...] = (
        ("SQNR in dB", demand.min_sqnr_db, lambda row: row.sqnr_db, 1),
        ("cosine", demand.min_cosine, lambda row: row.cosine, 1),
        ("KL in nats", demand.max_kl_nats, lambda row: row.kl_nats, -1),
    )
    failed, told = [], []
    for name, bound, value_of, sign in checks:
        worst = min(range(len(rows)), key=lambda at: sign * value_of(rows[at]))
        value = value_of(rows[worst])
        told.append(f"{name} {value:.4g} at token {worst}")
        if bound is not None and sign * value < sign * bound:
            limit = "below the floor" if sign > 0 else "above the ceiling"
            failed.append(f"{name} is {value:.4g} at token {worst}, {limit} {bound:g}")
    details = {
        "case": case,
        "sqnr_db": tuple(row.sqnr_db for row in rows),
        "cosine": tuple(row.cosine for row in rows),
        "kl_nats": tuple(row.kl_nats for row in rows),
    }
    if failed:
        sentence = f"the logits of {case} are far from the float model's: {'; '.join(failed)}"
        return Verdict("fail", "accuracy", sentence, details=details)
    sentence = f"the logits of {case} are near the float model's; worst: {', '.join(told)}"
    return Verdict("pass", "accuracy", sentence, details=details)


def judge_perplexity(
    demand: PerplexityDemand, perplexity: float, float_perplexity: float
) -> Verdict:
    """Whether a text surprises the compiled model hardly more than the float one."""
    ratio = perplexity / float_perplexity
    details = {
        "perplexity": perplexity,
        "float_perplexity": float_perplexity,
        "ratio": ratio,
        "max_ratio": demand.max_ratio,
    }
    above = ratio > demand.max_ratio
    sentence = (
        f"perplexity {perplexity:.4g} is {ratio:.4g} times the float model's "
        f"{float_perplexity:.4g}, {'above' if above else 'within'} the {demand.max_ratio:g} allowed"
    )
    return Verdict("fail" if above else "pass", "accuracy", sentence, details=details)


def judge_questions(questions: QuestionSet, replies: Mapping[str, str]) -> Verdict:
    """Whether enough questions are answered exactly right.

    PASS when the whole Wilson interval is at or above the floor, FAIL when all of it is below;
    in between the set is too small to tell.

    Args:
        replies: the text of the reply to every question, by its name.
    """
    from harness.accuracy.rates import wilson_interval

    wrong = [
        f"{name}: {questions.cases[name].prompt!r} expects {answer!r}, got {replies[name]!r}"
        for name, answer in questions.answers.items()
        if not is_exactly(replies[name], answer)
    ]
    asked = len(questions.answers)
    right = asked - len(wrong)
    interval = wilson_interval(right, asked, questions.confidence)
    floor = questions.min_exact_rate
    details = {
        "right": right,
        "asked": asked,
        "interval": (interval.low, interval.high),
        "floor": floor,
        "wrong": tuple(wrong),
    }
    level = f"{questions.confidence:.0%} interval {interval.low:.1%} to {interval.high:.1%}"
    sentence = (
        f"{right} of {asked} questions are answered exactly right ({level}; floor {floor:.1%})"
    )
    listing = "".join(f"\n  {line}" for line in wrong)
    if interval.low >= floor:
        return Verdict("pass", "accuracy", sentence, details=details)
    if interval.high < floor:
        return Verdict("fail", "accuracy", sentence + listing, details=details)
    sentence += "; too few questions to tell" + listing
    return Verdict("inconclusive", "accuracy", sentence, "undecided", details)
