"""Where a series of nights moved to another level. Needs the extra `night` (ruptures, NumPy)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from statistics import median

NIGHTS = 60
"""As far back as a series is looked at; the search costs the square of it."""
HOW_TO_FIND_CHANGES = (
    "whether and when a number changed is not told: that needs "
    "pip install 'vlm-device-harness[night]'"
)

_FEWEST = 3  # nights on either side of a change
_CHANGE = 3.0  # robust standard deviations between the two sides
_LEAST_CHANGE = 0.02
# What a further level costs, in robust standard deviations per logarithm of the nights. With
# less, a few strange nights in a long series are a level of their own.
_PENALTY = 3.0
_LEAST_NOISE = 1e-3  # of a logarithm: numbers that hardly vary have some, too
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


def can_find_changes() -> bool:
    """Whether `last_change` has what it needs."""
    return find_spec("ruptures") is not None


def last_change(values: Sequence[float]) -> tuple[int, float] | None:
    """The latest change of level: index of the first value after it, and -0.1 for a tenth less.

    The levels are those of least absolute deviation on the logarithm (PELT of ruptures), of
    three nights at least. The last two must be at least 2 % and 3 robust standard deviations
    apart; ruptures' penalty alone would let less through in short series.

    Args:
        values: one per night, all > 0; the last `NIGHTS` of them count.
    """
    import numpy as np
    from ruptures import Pelt

    first = max(0, len(values) - NIGHTS)
    logs = [math.log(value) for value in values[first:]]
    if len(logs) < 2 * _FEWEST:
        return None
    # From steps between neighbours, which a few changes of level leave alone.
    steps = [abs(b - a) for a, b in pairwise(logs)]
    noise = max(_MAD_TO_SIGMA * median(steps) / math.sqrt(2), _LEAST_NOISE)
    search = Pelt(model="l1", min_size=_FEWEST, jump=1).fit(np.array(logs)[:, None] / noise)
    ends = [0, *search.predict(pen=_PENALTY * math.log(len(logs)))]
    if len(ends) < 3:
        return None
    before, after = logs[ends[-3] : ends[-2]], logs[ends[-2] :]
    distance = median(after) - median(before)
    if abs(distance) < max(_LEAST_CHANGE, _CHANGE * _noise_around(before, after)):
        return None
    return first + ends[-2], math.expm1(distance)


def _noise_around(*levels: Sequence[float]) -> float:
    """Robust standard deviation of values around the median of their level."""
    distances = [abs(value - median(level)) for level in levels for value in level]
    return max(_MAD_TO_SIGMA * median(distances), _LEAST_NOISE)
