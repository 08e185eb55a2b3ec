"""The decision about a rate, look by look, and the loop that takes the samples."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from harness.perf.compare import Block, Side, block_orders, compare, slower_probability
from harness.perf.floor import decide, locate, next_look
from harness.perf.measure import Sample, blocks_of, measure, measure_blocks
from harness.perf.plan import Plan
from harness.perf.sequential import BLOCK_LOOKS, FAIL_LEVEL, LOOKS, PASS_LEVEL

RATE = "decode_tokens_per_s"
CALM = [50.2, 49.7, 50.1, 49.9, 50.3]


def test_samples_well_above_the_floor_pass_at_the_first_look() -> None:
    decision = decide(CALM, 40)
    assert decision.outcome == "pass"
    assert decision.estimate is not None
    assert decision.estimate.samples == 5
    assert 40 < decision.estimate.low < decision.estimate.centre < decision.estimate.high
    assert decision.estimate.median == 50.1
    assert decision.estimate.spread == pytest.approx(0.0048, abs=2e-4)


def test_samples_twelve_percent_slower_fail() -> None:
    decision = decide([0.88 * value for value in CALM], 47.5)
    assert decision.outcome == "fail"


def test_four_samples_decide_nothing() -> None:
    assert decide(CALM[:4], 10).outcome == "undecided"
    assert decide(CALM[:4], 10).estimate is None


def test_wide_samples_around_the_floor_stay_undecided() -> None:
    decision = decide([45, 55] * 10, 50)
    assert decision.outcome == "undecided"
    assert decision.estimate is not None
    assert decision.estimate.low < 50 < decision.estimate.high


def test_first_look_that_decides_counts_whatever_comes_later() -> None:
    assert decide([*CALM, *[20.0] * 15], 40).outcome == "pass"


def test_equal_samples_on_the_floor_pass() -> None:
    assert decide([50.0] * 5, 50).outcome == "pass"


def test_number_that_is_better_lower_passes_below_its_bound() -> None:
    assert decide(CALM, 60, "lower").outcome == "pass"
    decision = decide(CALM, 40, "lower")
    assert decision.outcome == "fail"
    assert decision.estimate is not None
    assert decision.estimate.low < 50 < decision.estimate.high


def test_outlier_moves_the_estimate_less_than_the_mean() -> None:
    values = [math.log(value) for value in [50.2, 49.7, 50.1, 49.9, 50.3, 50.0, 49.8, 30.0]]
    centre, error = locate(values)
    assert math.exp(centre) == pytest.approx(50.0, abs=0.2)
    assert error < 0.01


def test_looks_come_at_known_counts() -> None:
    assert [next_look(count) for count in (0, 5, 19, 20)] == [5, 8, 20, None]


def test_critical_values_are_those_of_the_statistic() -> None:
    np = pytest.importorskip("numpy")
    from benchmarks.nights.critical_values import critical_values, draw_statistics, statistic

    rows = np.random.default_rng(3).standard_normal((20, 20))
    for row in rows:
        centre, error = locate(list(row))
        assert statistic(row[None, :])[0] == pytest.approx(centre / error)
    drawn = draw_statistics(200_000, seed=5)
    passing = critical_values(drawn, PASS_LEVEL, 2.0)
    fail = critical_values(drawn, FAIL_LEVEL, 3.0)
    assert passing == pytest.approx([look.passing for look in LOOKS.values()], rel=0.05)
    # Early looks spend so little that their value is seen too rarely here.
    assert fail[2:] == pytest.approx([look.fail for look in list(LOOKS.values())[2:]], rel=0.06)


def test_levels_of_a_comparison_add_up_to_those_stated() -> None:
    assert sum(look.fail for look in BLOCK_LOOKS.values()) <= FAIL_LEVEL
    assert sum(look.passing for look in BLOCK_LOOKS.values()) <= PASS_LEVEL


def make_blocks(change: float, count: int = 10, noise: float = 0.01, seed: int = 1) -> list[Block]:
    """Blocks of runs around 50, the new ones by `change` faster."""
    draw = random.Random(seed)
    return [
        tuple(
            (side, 50 * (1 + change * (side == "new")) * math.exp(draw.gauss(0, noise)))
            for side in order
        )
        for order in block_orders("a seed")[:count]
    ]


def test_new_bundle_a_tenth_slower_fails_and_says_by_how_much() -> None:
    comparison = compare(make_blocks(-0.10))
    assert comparison.outcome == "fail"
    difference = comparison.difference
    assert difference is not None
    assert difference.low is not None and difference.high is not None
    assert difference.low < -0.10 < difference.high < 0
    assert difference.change == pytest.approx(-0.10, abs=0.01)
    assert difference.effect is not None and difference.effect < -3


def test_same_bundle_passes_at_the_first_look() -> None:
    comparison = compare(make_blocks(0.0))
    assert comparison.outcome == "pass"
    assert comparison.difference is not None
    assert comparison.difference.blocks == 6


def test_higher_latency_of_the_new_bundle_fails() -> None:
    assert compare(make_blocks(0.12), "lower").outcome == "fail"
    assert compare(make_blocks(-0.12), "lower").outcome == "pass"


def test_noise_leaves_a_comparison_undecided() -> None:
    assert compare(make_blocks(-0.05, noise=0.2)).outcome == "undecided"


def test_five_blocks_decide_nothing() -> None:
    comparison = compare(make_blocks(-0.5, count=5))
    assert comparison.outcome == "undecided"
    assert comparison.difference is None


def test_signs_of_n_blocks_are_as_rare_as_one_in_two_to_the_n() -> None:
    logs = [tuple((side, math.log(v)) for side, v in b) for b in make_blocks(-0.3, count=8)]
    assert slower_probability(logs, 0.0) == 1 / 256


def test_orders_are_abba_or_baab_and_differ_between_nights() -> None:
    orders = block_orders("one night")
    assert {order[0] == order[3] and order[1] == order[2] for order in orders} == {True}
    assert {order.count("new") for order in orders} == {2}
    assert orders == block_orders("one night")
    assert orders != block_orders("another night")


class ScriptedStand:
    """Repeats as written down; its clock moves by rests alone."""

    def __init__(self, rates: Sequence[float], throttled: Sequence[int] = ()) -> None:
        self.rates = list(rates)
        self.throttled = set(throttled)
        self.rests: list[float] = []
        self.sides: list[Side] = []
        self.unfit: str | None = None

    def now_s(self) -> float:
        return sum(self.rests)

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)

    def wait_until_fit(self) -> str | None:
        return self.unfit

    def run(self, side: Side) -> Sample:
        index = len(self.sides)
        self.sides.append(side)
        rate = self.rates[index % len(self.rates)]
        return Sample({RATE: rate}, index in self.throttled, side=side)


def test_measurement_ends_at_the_look_that_decides() -> None:
    stand = ScriptedStand(CALM)
    measured = measure(stand, Plan(cool_down_s=10), lambda clean: len(clean) >= 8)
    assert (len(measured.samples), measured.end) == (8, "decided")
    assert stand.rests == [0, *[10] * 7]


def test_measurement_ends_after_twenty_clean_samples() -> None:
    measured = measure(ScriptedStand(CALM), Plan(), lambda clean: False)
    assert (len(measured.samples), measured.end) == (20, "samples")


def test_throttled_sample_is_kept_apart_and_doubles_the_pause() -> None:
    stand = ScriptedStand([*CALM, 20.0], throttled=[5])
    measured = measure(stand, Plan(cool_down_s=10), lambda clean: len(clean) >= 8)
    assert len(measured.samples) == 9
    assert [sample.metrics[RATE] for sample in measured.clean].count(20.0) == 0
    assert stand.rests == [0, *[10] * 5, *[20] * 3]


def test_measurement_ends_when_its_time_is_over() -> None:
    plan = Plan(cool_down_s=10, budget_s=35)
    measured = measure(ScriptedStand(CALM), plan, lambda clean: False)
    assert (len(measured.samples), measured.end) == (4, "budget")


def test_measurement_ends_with_the_reason_when_the_phone_is_not_fit() -> None:
    stand = ScriptedStand(CALM)
    stand.unfit = "battery 5 %"
    measured = measure(stand, Plan(), lambda clean: False)
    assert (measured.samples, measured.end, measured.reason) == ((), "unfit", "battery 5 %")


def test_block_with_a_throttled_run_is_made_again_as_a_whole() -> None:
    stand = ScriptedStand([50.0], throttled=[2])
    plan = Plan(cool_down_s=0)
    measured = measure_blocks(stand, plan, "seed", lambda clean: True)
    assert len(measured.samples) == 3 + 6 * 4
    assert [sample.throttled for sample in measured.samples[:4]] == [True, True, True, False]
    assert len(blocks_of(measured.samples, RATE)) == 6
    assert [sample.side for sample in measured.samples[3:7]] == list(block_orders("seed")[0])
