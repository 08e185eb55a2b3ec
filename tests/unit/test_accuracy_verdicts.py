from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.accuracy.agreement import Agreement
from harness.accuracy.logits import LogitsDistance
from harness.accuracy_verdicts import (
    ReplyPair,
    judge_agreement,
    judge_logits,
    judge_perplexity,
    judge_questions,
)
from harness.spec import load_spec
from harness.spec.model import AgreementDemand, LogitsDemand, PerplexityDemand, QuestionSet


def _pair(agreement: Agreement) -> ReplyPair:
    return ReplyPair("blue", "It is green.", "It is blue.", agreement)


def test_judge_agreement_equal_reply_passes() -> None:
    verdict = judge_agreement(AgreementDemand(1.0, 0.0), _pair(Agreement(4, 4, None, None)))
    assert verdict.outcome == "pass"


def test_judge_agreement_early_difference_fails_and_says_where_and_by_how_much() -> None:
    verdict = judge_agreement(AgreementDemand(0.9, 0.1), _pair(Agreement(2, 4, 2, 1.25)))
    assert (verdict.outcome, verdict.kind) == ("fail", "accuracy")
    assert verdict.sentence == (
        "the reply to blue parts from the float model's at token 2 of 4, where it prefers its own "
        "by 1.25 logits: 'It is green.', float 'It is blue.' (50% agree, 90% demanded)"
    )


@pytest.mark.parametrize(
    ("demand", "margin", "outcome"),
    [
        (AgreementDemand(0.9, 1.25), 1.25, "pass"),
        (AgreementDemand(0.9, 1.2), 1.25, "fail"),
        (AgreementDemand(0.5, 0.0), 1.25, "pass"),
        (AgreementDemand(0.51, 9.0), None, "fail"),
    ],
)
def test_judge_agreement_ties_and_shares(
    demand: AgreementDemand, margin: float | None, outcome: str
) -> None:
    assert judge_agreement(demand, _pair(Agreement(2, 4, 2, margin))).outcome == outcome


NEAR = LogitsDistance(40.0, 0.9999, 0.001)
# What an 8-bit cache that wraps around instead of clamping does to later tokens.
FAR = LogitsDistance(4.0, 0.7, 2.5)


def test_judge_logits_near_everywhere_passes() -> None:
    assert judge_logits(LogitsDemand(25.0, 0.99, 0.05), "blue", [NEAR, NEAR]).outcome == "pass"


@pytest.mark.parametrize(
    ("demand", "sentence"),
    [
        (LogitsDemand(25.0, None, None), "SQNR in dB is 4 at token 1, below the floor 25"),
        (LogitsDemand(None, 0.99, None), "cosine is 0.7 at token 1, below the floor 0.99"),
        (LogitsDemand(None, None, 0.05), "KL in nats is 2.5 at token 1, above the ceiling 0.05"),
    ],
)
def test_judge_logits_one_bad_position_among_good_ones_fails(
    demand: LogitsDemand, sentence: str
) -> None:
    verdict = judge_logits(demand, "blue", [NEAR, FAR, NEAR])
    assert verdict.outcome == "fail"
    assert verdict.sentence.endswith(sentence)


def test_judge_logits_equal_ones_pass_any_bound() -> None:
    equal = LogitsDistance(math.inf, 1.0, 0.0)
    assert judge_logits(LogitsDemand(200.0, 1.0, 0.0), "blue", [equal]).outcome == "pass"


@pytest.mark.parametrize(("perplexity", "outcome"), [(10.5, "pass"), (11.5, "fail")])
def test_judge_perplexity(perplexity: float, outcome: str) -> None:
    verdict = judge_perplexity(PerplexityDemand("A text.", 1.1), perplexity, 10.0)
    assert verdict.outcome == outcome
    assert "the float model's 10" in verdict.sentence


@pytest.fixture
def questions(write_spec: Callable[..., Path]) -> Callable[[float], QuestionSet]:
    def make(floor: float) -> QuestionSet:
        accuracy = f"accuracy: {{questions: {{path: q.yml, min_exact_rate: {floor}}}}}\n"
        path = write_spec(("floors:\n", f"{accuracy}floors:\n"))
        asked = "".join(
            f"  - {{image: blue.png, prompt: What is {number}?, answer: blue}}\n"
            for number in range(20)
        )
        (path.parent / "q.yml").write_text(f"schema: 1\nquestions:\n{asked}")
        loaded = load_spec(path).accuracy.questions
        assert loaded is not None
        return loaded

    return make


@pytest.mark.parametrize(
    ("right", "outcome"), [(20, "pass"), (19, "inconclusive"), (14, "inconclusive"), (9, "fail")]
)
def test_judge_questions_decides_by_the_wilson_interval(
    questions: Callable[[float], QuestionSet], right: int, outcome: str
) -> None:
    asked = questions(0.8)
    replies = {name: "Blue." if at < right else "red" for at, name in enumerate(asked.answers)}
    verdict = judge_questions(asked, replies)
    assert verdict.outcome == outcome
    assert verdict.sentence.startswith(f"{right} of 20 questions are answered exactly right")


def test_judge_questions_wrong_ones_are_listed(
    questions: Callable[[float], QuestionSet],
) -> None:
    asked = questions(0.9)
    replies = dict.fromkeys(asked.answers, "dark blue")
    verdict = judge_questions(asked, replies)
    assert verdict.outcome == "fail"
    assert "'What is 3?' expects 'blue', got 'dark blue'" in verdict.sentence
