"""One answer or bundle per check that it must fail, and a sound one beside it that it passes.

What is a number here is a compiled bundle in tests/e2e/test_cache_overflow.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from harness.accuracy.logits import compare_rows
from harness.accuracy_verdicts import judge_logits
from harness.answers import Reply, judge_reply
from harness.comparison_verdicts import comparison_metrics, judge_comparison
from harness.perf.compare import block_orders
from harness.perf.floor import decide
from harness.perf.measure import Measurement, Sample
from harness.spec.model import Expectation, LogitsDemand

RATE = "decode_tokens_per_s"
MONUMENT = Expectation(
    all_of=("Statue of Liberty",), none_of=("Eiffel Tower",), matches_none=(r"(?i)\bin Paris\b",)
)
PLACE = Expectation(all_of=("red circle",), matches_all=(r"(?i)red circle (is )?left of",))


@pytest.mark.parametrize(
    ("expect", "sound", "broken"),
    [
        (
            MONUMENT,
            "The Statue of Liberty on its island.",
            "The Eiffel Tower, seen from a model of the Statue of Liberty.",
        ),
        (
            MONUMENT,
            "It is the Statue of Liberty in New York.",
            "It is the Statue of Liberty in Paris.",
        ),
        (PLACE, "A red circle left of a star.", "A star left of a red circle."),
        (PLACE, "The red circle is left of it.", "red circle left of " * 12),
    ],
    ids=["wrong_monument_with_the_right_word", "wrong_city", "wrong_place", "repeating"],
)
def test_answer_that_must_fail_does(expect: Expectation, sound: str, broken: str) -> None:
    assert judge_reply(Reply(sound), expect) == []
    assert judge_reply(Reply(broken), expect) != []


def test_prompt_echoed_must_fail_and_an_answer_after_it_does_not() -> None:
    prompt, expect = "Is the shape on the left blue?", Expectation(any_of=("blue",))
    (finding,) = judge_reply(Reply("Is the shape on the left blue?"), expect, prompt)
    assert str(finding) == "it is the prompt and holds no word besides"
    (finding,) = judge_reply(Reply("is the shape on the left BLUE? No."), expect, prompt)
    assert str(finding) == "it has none of 'blue'"
    assert judge_reply(Reply("Is the shape on the left blue? Blue."), expect, prompt) == []
    assert judge_reply(Reply("The shape on the left is blue."), expect, prompt) == []
    assert judge_reply(Reply("Blue it is."), expect, "Blue?") == []


Quantise = Callable[[float, float], int]


def saturating(value: float, scale: float) -> int:
    return max(-128, min(127, round(value / scale)))


def wrapping(value: float, scale: float) -> int:
    """int8 as C casts it: 130 becomes -126."""
    return (round(value / scale) + 128) % 256 - 128


def logits_through_cache(quantise: Quantise, scale: float) -> list[list[float]]:
    """Logits of five positions of one attention head whose keys and values went through int8.

    Width 16, 12 entries, 24 words; the same random numbers whatever the cache does.
    """
    draw = random.Random(7)

    def rows(count: int) -> list[list[float]]:
        return [[draw.gauss(0, 1) for _ in range(16)] for _ in range(count)]

    queries, keys, values, head = rows(5), rows(12), rows(12), rows(24)
    keys, values = (
        [[scale * quantise(value, scale) for value in row] for row in cache]
        for cache in (keys, values)
    )
    result = []
    for query in queries:
        weights = [math.exp(_dot(query, key) / 4) for key in keys]
        mixed = [_dot(weights, column) / sum(weights) for column in zip(*values, strict=True)]
        result.append([3 * _dot(word, mixed) for word in head])
    return result


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_int8_cache_that_wraps_fails_the_check_of_logits() -> None:
    demand = LogitsDemand(min_sqnr_db=25.0, min_cosine=0.99, max_kl_nats=0.05)
    exact = logits_through_cache(lambda value, scale: round(value / scale), 1e-6)

    def verdict_of(quantise: Quantise, scale: float) -> str:
        rows = logits_through_cache(quantise, scale)
        distances = [compare_rows(*pair) for pair in zip(exact, rows, strict=True)]
        return judge_logits(demand, "overflow", distances).outcome

    wide, narrow = 4.0 / 127, 1.2 / 127  # a scale that holds the largest entry, and one too fine
    assert verdict_of(wrapping, wide) == "pass"
    assert verdict_of(wrapping, narrow) == "fail"
    assert verdict_of(saturating, narrow) == "fail"


def compared(new_rate: float) -> Measurement:
    """Ten blocks of two bundles that vary by 1 %; the old one makes 60 tok/s."""
    draw = random.Random(3)
    rates = {"old": 60.0, "new": new_rate}
    samples = [
        Sample({RATE: rates[side] * math.exp(draw.gauss(0, 0.01))}, False, side=side)
        for order in block_orders("seed")
        for side in order
    ]
    return Measurement(tuple(samples), "samples")


def test_runner_twelve_percent_slower_fails_comparison_and_floor() -> None:
    slower, equal = judge_comparison(compared(0.88 * 60)), judge_comparison(compared(60.0))
    assert (slower.outcome, equal.outcome) == ("fail", "pass")
    assert "the new bundle is slower than the old one: change -1" in slower.sentence
    assert "FAIL at a false-alarm rate of 1 % over all looks" in slower.sentence
    numbers = comparison_metrics(slower)
    assert numbers["compare.change"] == pytest.approx(-0.12, abs=0.02)
    assert numbers["old.decode_tokens_per_s"] == pytest.approx(60, rel=0.02)
    new = [s.metrics[RATE] or 0.0 for s in compared(0.88 * 60).clean if s.side == "new"]
    assert decide(new, 0.95 * 60).outcome == "fail"
    assert decide([rate / 0.88 for rate in new], 0.95 * 60).outcome == "pass"


def test_comparison_without_a_block_is_inconclusive_and_says_why() -> None:
    verdict = judge_comparison(Measurement((), "unfit", "skin 44.5 C (at most 39)"))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "undecided")
    assert "0 clean blocks of at least 6: the phone did not become fit: skin 44.5 C" in (
        verdict.sentence
    )
