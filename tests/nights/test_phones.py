"""The generator of nights: it must make the trouble that it promises."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest

from benchmarks.nights.phones import Night, Phone, phones

NIGHTS = 300
SPREAD = 0.06


def log_rates(phone: Phone, nights: int = NIGHTS, pause_s: float = 33.0) -> list[list[float]]:
    """Logarithms of rate / true rate, 20 runs a night."""
    found = []
    for index in range(nights):
        night = Night(phone, 50.0, f"test/{index}")
        found.append([])
        for _ in range(20):
            night.rest(pause_s)
            found[-1].append(math.log(night.run().rate / 50.0))
    return found


def autocorrelation(nights: list[list[float]]) -> float:
    """Of neighbouring runs, about the true mean 0."""
    pairs = [(a, b) for night in nights for a, b in pairwise(night)]
    return sum(a * b for a, b in pairs) / sum(a * a for a, _ in pairs)


@pytest.mark.parametrize("phone", phones(SPREAD)[:4], ids=lambda phone: phone.name)
def test_phone_has_the_spread_and_the_true_rate_it_claims(phone: Phone) -> None:
    values = [value for night in log_rates(phone) for value in night]
    assert statistics.fmean(values) == pytest.approx(0, abs=0.1 * SPREAD)
    assert statistics.pstdev(values) == pytest.approx(SPREAD, rel=0.06)


def test_noise_has_its_long_tail_among_slow_runs() -> None:
    values = [value for night in log_rates(phones(SPREAD)[0]) for value in night]
    assert statistics.fmean((value / SPREAD) ** 3 for value in values) < -0.7


def test_correlated_runs_resemble_their_neighbours_until_a_pause_parts_them() -> None:
    calm, correlated, *_ = phones(SPREAD)
    assert abs(autocorrelation(log_rates(calm))) < 0.05
    assert autocorrelation(log_rates(correlated, pause_s=0)) > 0.2
    assert autocorrelation(log_rates(correlated, pause_s=120)) < 0.05


def test_drift_parts_beginning_and_end_of_a_night() -> None:
    drifting = phones(SPREAD)[2]
    nights = log_rates(drifting)
    apart = [abs(statistics.fmean(n[:5]) - statistics.fmean(n[-5:])) for n in nights]
    calm = [
        abs(statistics.fmean(n[:5]) - statistics.fmean(n[-5:]))
        for n in log_rates(phones(SPREAD)[0])
    ]
    assert statistics.fmean(apart) > 1.5 * statistics.fmean(calm)


def test_boost_has_two_speeds() -> None:
    boosting = Phone("boost alone", SPREAD, boost=1.0)
    speeds = {round(value, 9) for value in log_rates(boosting, nights=1)[0]}
    assert len(speeds) == 2


def test_throttling_is_reported_whenever_it_slows_a_run() -> None:
    silent = Phone("heat alone", 0.0, throttles=True)
    slowed = told = 0
    for index in range(NIGHTS):
        night = Night(silent, 50.0, f"heat/{index}")
        for _ in range(20):
            night.rest(10)
            run = night.run()
            slowed += run.rate < 49.9
            told += run.rate < 49.9 and run.thermal_status >= 2
    assert slowed > NIGHTS
    assert told == slowed


def test_outliers_are_slow_rare_and_not_reported() -> None:
    rare = Phone("outliers alone", 0.0, outliers=0.05)
    values = [value for night in log_rates(rare) for value in night]
    slow = [value for value in values if value < -0.01]
    assert len(slow) / len(values) == pytest.approx(0.05, abs=0.01)
    assert min(slow) > math.log(0.59)
    assert max(slow) < math.log(0.91)


def test_bundle_that_is_slower_is_slower_by_as_much() -> None:
    silent = Phone("silent", 0.0)
    night = Night(silent, 50.0, "bundle")
    assert night.run().rate == pytest.approx(50.0)
    assert night.run(0.9).rate == pytest.approx(45.0)


def test_night_of_the_same_seed_is_the_same_night() -> None:
    phone = phones(SPREAD)[-1]
    nights = [Night(phone, 50.0, "same") for _ in range(2)]
    first, second = ([night.run() for _ in range(5)] for night in nights)
    assert first == second
    assert first != [Night(phone, 50.0, "other").run() for _ in range(5)]
