"""Rates of right answers, with the uncertainty of a few dozen questions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Confidence interval of a proportion, two-sided.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927, p. 209), which keeps its level for
    few trials and for rates near 0 and 1, where the usual one is far too narrow.

    Args:
        successes: 0 to `trials`.
        trials: at least 1.
        confidence: above 0 and below 1, such as 0.95.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    scale = 1 + z * z / trials
    middle = rate + z * z / (2 * trials)
    reach = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    # Exact ends where no other is possible; rounding would miss them by 1e-17.
    low = 0.0 if successes == 0 else (middle - reach) / scale
    high = 1.0 if successes == trials else (middle + reach) / scale
    return Interval(low, high)
