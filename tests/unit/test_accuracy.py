from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.accuracy.agreement import Candidate, compare_replies
from harness.accuracy.logits import compare_rows, log_probability, perplexity, read_rows
from harness.accuracy.rates import wilson_interval
from harness.accuracy.repetition import Loop, find_loop
from harness.errors import BundleCorrupt

# Of scipy.stats.binomtest(...).proportion_ci(method="wilson"), to six digits.
WILSON = [
    (8, 10, 0.95, 0.490162, 0.943318),
    (0, 20, 0.95, 0.0, 0.161125),
    (20, 20, 0.95, 0.838875, 1.0),
    (95, 100, 0.99, 0.86085, 0.983152),
]


@pytest.mark.parametrize(("successes", "trials", "confidence", "low", "high"), WILSON)
def test_wilson_interval_is_the_textbooks(
    successes: int, trials: int, confidence: float, low: float, high: float
) -> None:
    interval = wilson_interval(successes, trials, confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-6)


@given(st.integers(1, 500), st.floats(0.5, 0.999), st.data())
def test_wilson_interval_holds_the_rate(
    trials: int, confidence: float, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = wilson_interval(successes, trials, confidence)
    assert 0 <= interval.low <= successes / trials <= interval.high <= 1


LOOPS = [
    ("a red circle", None),
    ("very very very good", None),
    ("very very very very good", Loop(0, 1, 4)),
    ("it is a cat a cat a cat a cat", Loop(2, 2, 4)),
    ("a cat a cat a cat", None),
    ("there is a cat there is a cat there is a cat", Loop(0, 4, 3)),
    ("so the red dog the red dog the red dog barks", Loop(1, 3, 3)),
    ("one two three four five six seven", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "loop"), LOOPS)
def test_find_loop(text: str, loop: Loop | None) -> None:
    assert find_loop(text.split()) == loop


@given(st.lists(st.integers(), unique=True, max_size=200))
def test_find_loop_distinct_items_have_none(items: list[int]) -> None:
    assert find_loop(items) is None


@given(st.lists(st.integers(0, 5), min_size=3, max_size=9), st.integers(4, 6))
def test_find_loop_finds_any_repeated_block(block: list[int], times: int) -> None:
    assert find_loop(block * times) is not None


def test_compare_replies_equal_ones_do_not_part() -> None:
    agreement = compare_replies([5, 6, 2], [5, 6, 2])
    assert (agreement.share, agreement.parts_at, agreement.margin) == (1.0, None, None)


def test_compare_replies_tells_position_and_margin_to_the_replys_token() -> None:
    candidates = [
        [Candidate(5, 9.0), Candidate(1, 0.0)],
        [Candidate(6, 4.0), Candidate(8, 3.5), Candidate(7, 3.0)],
        [Candidate(2, 1.0), Candidate(3, 0.0)],
    ]
    agreement = compare_replies([5, 7, 2], [5, 6, 2], candidates)
    assert (agreement.agreed, agreement.parts_at, agreement.margin) == (1, 1, 1.0)


def test_compare_replies_unlisted_token_has_at_least_the_last_margin() -> None:
    candidates = [[Candidate(6, 4.0), Candidate(8, 3.5)]]
    assert compare_replies([7], [6], candidates).margin == 0.5


def test_compare_replies_longer_one_parts_where_the_other_ends() -> None:
    agreement = compare_replies([5, 6, 7, 8], [5, 6])
    assert (agreement.parts_at, agreement.share, agreement.margin) == (2, 0.5, None)


def test_compare_rows_equal_rows_are_at_no_distance() -> None:
    distance = compare_rows([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert distance.sqnr_db == math.inf
    assert distance.cosine == pytest.approx(1.0)
    assert distance.kl_nats == 0.0


def test_compare_rows_is_the_definition() -> None:
    distance = compare_rows([3.0, 4.0], [3.0, 3.5])
    assert distance.sqnr_db == pytest.approx(10 * math.log10(25 / 0.25))
    assert distance.cosine == pytest.approx((9 + 14) / (5 * math.hypot(3.0, 3.5)))
    p, q = 1 / (1 + math.e), 1 / (1 + math.exp(0.5))
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert distance.kl_nats == pytest.approx(kl)


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=20),
    st.floats(-20, 20),
)
def test_compare_rows_kl_ignores_a_shift(row: list[float], shift: float) -> None:
    shifted = [value + shift for value in row]
    assert compare_rows(row, shifted).kl_nats == pytest.approx(0.0, abs=1e-9)


def test_perplexity_of_even_odds_is_the_vocabulary() -> None:
    assert perplexity([[0.0] * 8] * 3, [1, 2, 3]) == pytest.approx(8.0)


def test_log_probability_of_large_logits_does_not_overflow() -> None:
    assert log_probability([1000.0, 0.0], 0) == pytest.approx(0.0)


def test_read_rows_are_little_endian_floats() -> None:
    rows = read_rows(array("f", [1.0, 2.0, 3.0, 4.0]).tobytes(), 2, "reading")
    assert [list(row) for row in rows] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(("size", "n_rows"), [(0, 1), (12, 2), (6, 1), (8, 0)])
def test_read_rows_refuses_what_is_no_table(size: int, n_rows: int) -> None:
    with pytest.raises(BundleCorrupt, match="rows of float32"):
        read_rows(bytes(size), n_rows, "reading")
