"""Whether a new bundle is slower than an old one on the same phone in the same night.

Old (A) and new (B) run in blocks of four, each ABBA or BAAB by the toss of a coin. Within a
block a drift hits both alike. What is compared is the mean of a block's two B less that of
its two A, on natural logarithms: -0.1 is a loss of a tenth.

If the bundles are equally fast, a coin that had fallen otherwise would have turned the sign
of its block's difference and changed nothing else. So the test flips signs: the probability
is the share of all 2**n choices of signs that give as small a sum. It holds by the way the
runs were ordered, whatever the noise is like: correlated, skewed, drifting (Fisher, The
Design of Experiments, 1935, chapter 21; Ernst, Statistical Science 19, 2004). That remains
so if runs far from their block's middle are drawn in first, as long as old and new are not
told apart in doing so; an outlier then costs little power. A loss other than 0 is tested by
first making the new runs faster by that much; the losses that are not rejected are the
interval.

FAIL: the loss is above 0, at a false-alarm rate of 1 % over all looks. PASS: it is smaller
than the loss that is tolerated, at 5 %. What is both, a small loss seen clearly, is FAIL.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from harness.perf.floor import DecisionOutcome
from harness.perf.sequential import BLOCK_LOOKS, MOST_BLOCKS, BlockLook

Side = Literal["old", "new"]
Block = tuple[tuple[Side, float], ...]  # four runs in the order they were made
TOLERATED_LOSS = 0.075
_CLIP = 1.0
_MAD_TO_SIGMA = 1.4826
_TIE = 1e-12  # sums of the same numbers in another order
_FARTHEST = 2.0  # no interval reaches farther: a change by a factor of 7
_BISECTIONS = 20


@dataclass(frozen=True)
class Difference:
    """How much faster the new bundle is: 0.02 is 2 % faster, -0.1 is 10 % slower.

    `low` and `high` are None at a look with too few blocks for that bound. `effect` is the
    change in units of the robust standard deviation between blocks, None where that is 0.
    """

    blocks: int
    change: float
    low: float | None
    high: float | None
    effect: float | None


@dataclass(frozen=True)
class Comparison:
    """What looks at the blocks gave; `difference` is None before the first look."""

    outcome: DecisionOutcome
    difference: Difference | None


def block_orders(seed: str) -> list[tuple[Side, ...]]:
    """The order of runs in each block that a comparison may need."""
    coin = random.Random(seed)
    orders: tuple[tuple[Side, ...], ...] = (
        ("old", "new", "new", "old"),
        ("new", "old", "old", "new"),
    )
    return [coin.choice(orders) for _ in range(MOST_BLOCKS)]


def compare(
    blocks: Sequence[Block],
    better: Literal["higher", "lower"] = "higher",
    tolerated_loss: float = TOLERATED_LOSS,
) -> Comparison:
    """Compare look by look; the first look that decides counts.

    Args:
        blocks: whole and clean ones in the order they were made; values above 0.
        better: in which direction the number improves.
        tolerated_loss: the share of the old bundle's speed that may be lost, below 1.
    """
    logs = _logarithms(blocks, 1.0 if better == "higher" else -1.0)
    outcome, count = _decide(logs, math.log(1.0 - tolerated_loss))
    return Comparison(outcome, _difference(logs[:count], BLOCK_LOOKS[count]) if count else None)


def outcome_of(
    blocks: Sequence[Block],
    better: Literal["higher", "lower"] = "higher",
    tolerated_loss: float = TOLERATED_LOSS,
) -> DecisionOutcome:
    """The outcome of `compare` without the labour of its interval."""
    logs = _logarithms(blocks, 1.0 if better == "higher" else -1.0)
    return _decide(logs, math.log(1.0 - tolerated_loss))[0]


def _decide(logs: Sequence[Block], limit: float) -> tuple[DecisionOutcome, int]:
    """The outcome, and how many blocks it was taken from."""
    last = 0
    for count, look in BLOCK_LOOKS.items():
        if count > len(logs):
            break
        last = count
        if slower_probability(logs[:count], 0.0) <= look.fail:
            return "fail", count
        if faster_probability(logs[:count], limit) <= look.passing:
            return "pass", count
    return "undecided", last


def slower_probability(logs: Sequence[Block], change: float) -> float:
    """How probable differences as small as these are if new = old + `change`.

    Args:
        logs: blocks of logarithms, greater for a faster run.
    """
    return _share_as_small(_differences(logs, change))


def faster_probability(logs: Sequence[Block], change: float) -> float:
    """How probable differences as great as these are if new = old + `change`."""
    return _share_as_small([-value for value in _differences(logs, change)])


def _share_as_small(differences: Sequence[float]) -> float:
    """The share of all choices of signs whose sum is not above that of these differences."""
    sums = [0.0]
    for value in differences:
        sums = [total + step for total in sums for step in (value, -value)]
    threshold = sum(differences) + _TIE
    return sum(total <= threshold for total in sums) / len(sums)


def _differences(logs: Sequence[Block], change: float) -> list[float]:
    """New less old in each block, after `change` is taken off and outliers are drawn in.

    Outliers are slow runs, so a block's middle is that of its three fastest: midway between
    two bundles of different speed even if one of the four runs was disturbed.
    """
    aligned = []
    for block in logs:
        values = [value - change if side == "new" else value for side, value in block]
        fastest = sorted(values)[1:]
        middle = (fastest[0] + fastest[-1]) / 2
        aligned.append([value - middle for value in values])
    reach = _CLIP * _MAD_TO_SIGMA * median(abs(value) for values in aligned for value in values)
    differences = []
    for block, values in zip(logs, aligned, strict=True):
        signed = (
            max(-reach, min(reach, value)) * (1 if side == "new" else -1)
            for (side, _), value in zip(block, values, strict=True)
        )
        differences.append(sum(signed) / 2)
    return differences


def _difference(logs: Sequence[Block], look: BlockLook) -> Difference:
    """The change whose signs are as probable up as down, and those that are not rejected."""
    centre = _greatest(lambda change: slower_probability(logs, change) > 0.5)
    low = _greatest(lambda change: faster_probability(logs, change) <= look.passing)
    high = _greatest(lambda change: slower_probability(logs, change) > look.fail)
    deviation = _MAD_TO_SIGMA * median(abs(value) for value in _differences(logs, centre))
    return Difference(
        blocks=len(logs),
        change=math.expm1(centre),
        low=math.expm1(low) if look.passing else None,
        high=math.expm1(high) if look.fail else None,
        effect=centre / deviation if deviation > _TIE else None,
    )


def _greatest(holds: Callable[[float], bool]) -> float:
    """The change up to which `holds` is true."""
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def _logarithms(blocks: Sequence[Block], sign: float) -> list[Block]:
    return [tuple((side, sign * math.log(value)) for side, value in block) for block in blocks]
