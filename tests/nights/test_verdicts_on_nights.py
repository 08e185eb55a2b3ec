"""Verdicts on simulated nights, in short: benchmarks/nights/table.py has 10,000 of each."""

from __future__ import annotations

import pytest

from benchmarks.nights.phones import Phone, phones
from benchmarks.nights.table import SPREADS, simulate

NIGHTS = 100
ALL_PHONES = [
    pytest.param(phone, id=f"{phone.name}-{spread:.0%}")
    for spread in SPREADS
    for phone in phones(spread)
]


def most(share: float) -> float:
    """Six standard errors above it: a table that holds passes each time."""
    return share + 6 * (share * (1 - share) / NIGHTS) ** 0.5


@pytest.mark.parametrize("check", ["floor", "compare"])
@pytest.mark.parametrize("phone", ALL_PHONES)
def test_unchanged_model_does_not_fail_and_is_mostly_decided(check: str, phone: Phone) -> None:
    row = simulate(check, "unchanged", phone, range(NIGHTS), seed=7)
    assert row.share("fail") <= most(0.01)
    assert row.share("undecided") <= most(0.20)


@pytest.mark.parametrize("check", ["floor", "compare"])
@pytest.mark.parametrize("phone", ALL_PHONES)
def test_lost_tenth_fails(check: str, phone: Phone) -> None:
    row = simulate(check, "10 % lost", phone, range(NIGHTS), seed=7)
    missed = 1 - (0.95 if phone.spread == 0.02 else 0.80)
    assert 1 - row.share("fail") <= most(missed)
    assert row.share("pass") <= most(0.01)


@pytest.mark.parametrize("spread", SPREADS)
def test_model_at_its_floor_fails_no_more_often_than_the_level(spread: float) -> None:
    row = simulate("floor", "at the floor", phones(spread)[0], range(NIGHTS), seed=7)
    assert row.share("fail") <= most(0.01)
    assert row.share("pass") <= most(0.15)
