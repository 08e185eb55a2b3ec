"""The product: each model as a whole against the float model, where its spec demands it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.front.accuracy import (
    agreement_verdicts,
    logits_verdicts,
    perplexity_verdicts,
    questions_verdicts,
)
from harness.front.checks import settle, summary_note, summary_word
from harness.front.recording import Facts, context_of
from harness.front.session import Session, Subject
from harness.front.table import Row
from harness.verdict import Verdict

Judge = Callable[[Session, Subject], list[Verdict]]
Settle = Callable[[str, Judge], None]

pytestmark = pytest.mark.accuracy


@pytest.fixture
def judged(
    harness_session: Session,
    subject: Subject,
    add_row: Callable[[Row], None],
    add_facts: Callable[[Facts], None],
    record_property: Callable[[str, object], None],
) -> Settle:
    """Runs, judges, puts a row into the table and ends the test."""

    def run(name: str, judge: Judge) -> None:
        bundle = harness_session.bundle(subject)
        if harness_session.options.compile_only:
            pytest.skip("compiled only; nothing was run")
        verdicts: Sequence[Verdict] = judge(harness_session, subject)
        context = context_of(harness_session, subject)
        add_facts(Facts(context, verdicts))
        row = Row(
            model=subject.spec.model,
            soc=harness_session.soc(subject).id,
            mode=subject.mode,
            case=f"({name})",
            verdict=summary_word(verdicts),
            size_bytes=sum(bundle.pte_size_bytes().values()),
            simulated=bool(context.simulated),
            note=summary_note(verdicts),
        )
        add_row(row)
        for index, verdict in enumerate(verdicts):
            record_property(f"{name}.{index}", verdict.sentence)
        settle(verdicts)

    return run


@pytest.mark.demand("agreement")
def test_agreement(judged: Settle) -> None:
    """Replies follow the float model's greedy ones."""
    judged("agreement", agreement_verdicts)


@pytest.mark.demand("logits")
def test_logits(judged: Settle) -> None:
    """Logits along the float model's replies stay near its own."""
    judged("logits", logits_verdicts)


@pytest.mark.demand("perplexity")
def test_perplexity(judged: Settle) -> None:
    """A text surprises the compiled model hardly more than the float one."""
    judged("perplexity", perplexity_verdicts)


@pytest.mark.demand("questions")
def test_questions(judged: Settle) -> None:
    """Enough questions are answered exactly right."""
    judged("questions", questions_verdicts)
