"""Whether a number that a phone repeats lies above or below a bound.

Works on natural logarithms, where a loss of a tenth is the same on a slow phone as on a
fast one and noise is roughly symmetric.

The estimate is Huber's: samples farther than 2.5 robust standard deviations (1.4826 times
the median absolute deviation) from the median are drawn in to that distance, so a run that
something else on the phone has slowed moves it little, and the standard error is that of
the values drawn in (Huber, Robust Statistics, 1981, 6.7: the one-step "H15" with its
scale from the data). With fewer than 8 samples the deviation is too unsure to draw in by,
so there it is the plain mean.

What is left after it: neighbours in time resemble each other, which makes any standard
error too small. The pause between repeats sees to that, and the critical values are drawn
from correlated samples (`harness.perf.sequential`). A test for what correlation is left
would see none of it in 20 samples, and widening by an estimate of it costs more power
than the correlation does. A phone that grows faster or slower all night is judged as fast
as it was while it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

from harness.perf.sequential import LOOKS

DecisionOutcome = Literal["pass", "fail", "undecided"]
_CLIP = 2.5
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_FEWEST_FOR_CLIPPING = 8


@dataclass(frozen=True)
class Estimate:
    """Where samples lie.

    `centre`, `low` and `high` are in the samples' unit. The interval reaches as far as the
    look at which it was taken demands: down for PASS, up for FAIL where higher is better.
    `spread` is the standard deviation of the logarithms, 0.02 for 2 %.
    """

    samples: int
    centre: float
    low: float
    high: float
    median: float
    spread: float


@dataclass(frozen=True)
class Decision:
    """What looks at the samples gave; `estimate` is None before the first look."""

    outcome: DecisionOutcome
    estimate: Estimate | None


def decide(
    samples: Sequence[float], bound: float, better: Literal["higher", "lower"] = "higher"
) -> Decision:
    """Compare samples with a bound, look by look; the first look that decides counts.

    Args:
        samples: clean ones, above 0, in the order they were taken.
        bound: the least (or, where lower is better, the greatest) that passes; above 0.
        better: in which direction the number improves.
    """
    sign = 1.0 if better == "higher" else -1.0
    distances = [sign * (math.log(value) - math.log(bound)) for value in samples]
    estimate = None
    for count, look in LOOKS.items():
        if count > len(distances):
            break
        centre, error = locate(distances[:count])
        low, high = centre - look.passing * error, centre + look.fail * error
        estimate = _estimate(samples[:count], bound, sign, (centre, low, high))
        if low >= 0:
            return Decision("pass", estimate)
        if high < 0:
            return Decision("fail", estimate)
    return Decision("undecided", estimate)


def locate(values: Sequence[float]) -> tuple[float, float]:
    """Centre and its standard error; at least two values."""
    drawn_in = list(values)
    if len(drawn_in) >= _FEWEST_FOR_CLIPPING:
        middle = median(drawn_in)
        reach = _CLIP * _MAD_TO_SIGMA * median(abs(value - middle) for value in drawn_in)
        drawn_in = [min(max(value, middle - reach), middle + reach) for value in drawn_in]
    centre = fmean(drawn_in)
    return centre, stdev(drawn_in, centre) / math.sqrt(len(drawn_in))


def next_look(count: int) -> int | None:
    """How many samples the next look needs, None after the last."""
    return next((look for look in LOOKS if look > count), None)


def spread_of(samples: Sequence[float]) -> float:
    """Standard deviation of the natural logarithms; 0 for a single sample."""
    return stdev(math.log(value) for value in samples) if len(samples) > 1 else 0.0


def _estimate(
    samples: Sequence[float], bound: float, sign: float, distances: tuple[float, float, float]
) -> Estimate:
    centre, low, high = (bound * math.exp(sign * distance) for distance in distances)
    if sign < 0:
        low, high = high, low
    return Estimate(len(samples), centre, low, high, median(samples), spread_of(samples))
