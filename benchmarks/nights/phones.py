"""Simulated phones, and one night with each.

Written before the code that it tests, and by other rules. The estimator thinks of samples
in a row; here time is continuous, a run takes a while and so does a pause. The estimator
thinks of normal logarithms; here the noise is a gamma's, with its long tail towards slow
runs. What makes a run slow or fast:

| source | rule |
|---|---|
| white | minus a gamma of shape 4 (skewness 1), standardised |
| correlated | an Ornstein-Uhlenbeck process; its memory of 15 to 35 s is drawn for each night |
| drift | an exponential approach to another speed, of 10 minutes; size and sign per night |
| boost | two speeds; the phone changes between them at random, about once a minute |
| outlier | a run that something else on the phone slows by 10 to 40 %, and nobody says so |
| throttling | a run warms the skin, a pause cools it; from 40 C on the status is 2 and it slows |

A kind of phone has a *spread*: the standard deviation of the logarithm of a run's rate over
a long night, from all sources but outliers and throttling, which come on top. The *true
rate* of a bundle is the geometric mean that it would have in the middle of a long night
without these two.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

RUN_S = 12.0  # one run of the runner, its start and loading included
_NIGHT_S = 900.0  # what "long" means above
_DRIFT_S = 600.0
_BOOST_MEMORY_S = 30.0
_GAMMA_SHAPE = 4.0


@dataclass(frozen=True)
class Phone:
    """A kind of phone.

    `correlated`, `drift` and `boost` are shares of the spread's square, of sum 1 at most;
    white noise has the rest. `outliers` is the probability that a run is one.
    """

    name: str
    spread: float
    correlated: float = 0.0
    drift: float = 0.0
    boost: float = 0.0
    outliers: float = 0.0
    throttles: bool = False


@dataclass(frozen=True)
class Run:
    """What a run shows: its rate, and the highest thermal status (0 to 6) around it."""

    rate: float
    thermal_status: int
    began_s: float


def phones(spread: float) -> tuple[Phone, ...]:
    """One phone with each trouble, and one with all of them."""
    return (
        Phone("calm", spread),
        Phone("correlated", spread, correlated=0.5),
        Phone("drifting", spread, drift=0.2),
        Phone("two-speed", spread, boost=0.5),
        Phone("throttling", spread, throttles=True),
        Phone("outliers", spread, outliers=0.05),
        Phone(
            "everything",
            spread,
            correlated=0.2,
            drift=0.1,
            boost=0.2,
            outliers=0.03,
            throttles=True,
        ),
    )


class Night:
    """One phone during one night. Its clock moves with `run` and `rest`."""

    def __init__(self, phone: Phone, true_rate: float, seed: str) -> None:
        self._phone = phone
        self._true_rate = true_rate
        self._random = draw = random.Random(seed)
        self.now_s = 0.0
        self._correlated = draw.gauss(0, 1)
        self._memory_s = draw.uniform(15, 35)
        self._drift = draw.choice((-1, 1)) * draw.uniform(0.5, 1.5)
        self._boosted_share = draw.uniform(0.3, 0.7)
        self._boosted = draw.random() < self._boosted_share
        self._heat = Heat(draw) if phone.throttles else None

    @property
    def thermal_status(self) -> int:
        """What the phone reports now: 0 (none) or 2 (moderate, it throttles)."""
        return 2 if self._heat is not None and self._heat.throttled else 0

    def rest(self, seconds: float) -> None:
        """Let the phone do nothing for a while."""
        self._pass_time(seconds, busy=False)

    def run(self, speed: float = 1.0) -> Run:
        """Run a bundle once.

        Args:
            speed: the bundle's true rate as a multiple of the night's; 0.9 is a loss of a tenth.
        """
        began_s, before = self.now_s, self.thermal_status
        phone, draw = self._phone, self._random
        white = 1.0 - phone.correlated - phone.drift - phone.boost
        log_rate = (
            math.sqrt(white) * self._white_noise()
            + math.sqrt(phone.correlated) * self._correlated
            + math.sqrt(phone.drift) * self._drift * _drift_at(began_s)
            + math.sqrt(phone.boost) * self._boost()
        ) * phone.spread
        self._pass_time(RUN_S, busy=True)
        if phone.outliers and draw.random() < phone.outliers:
            log_rate += math.log(draw.uniform(0.6, 0.9))
        if self._heat is not None:
            log_rate += self._heat.slowing
        status = max(before, self.thermal_status)
        return Run(self._true_rate * speed * math.exp(log_rate), status, began_s)

    def _white_noise(self) -> float:
        drawn = self._random.gammavariate(_GAMMA_SHAPE, 1.0)
        return (_GAMMA_SHAPE - drawn) / math.sqrt(_GAMMA_SHAPE)

    def _boost(self) -> float:
        """Of mean 0 and variance 1 over time."""
        share = self._boosted_share
        scale = math.sqrt(share * (1 - share))
        return (1 - share) / scale if self._boosted else -share / scale

    def _pass_time(self, seconds: float, *, busy: bool) -> None:
        self.now_s += seconds
        draw = self._random
        kept = math.exp(-seconds / self._memory_s)
        self._correlated = kept * self._correlated + math.sqrt(1 - kept**2) * draw.gauss(0, 1)
        if draw.random() > math.exp(-seconds / _BOOST_MEMORY_S):
            self._boosted = draw.random() < self._boosted_share
        if self._heat is not None:
            self._heat.pass_time(seconds, busy=busy)


class Heat:
    """The skin's temperature, C, and what the phone does about it.

    It throttles from 40 C on and until 38 C, and says so. The slowing is as deep as the
    phone is hot; while the status is 0 there is none.
    """

    def __init__(self, draw: random.Random) -> None:
        self._rest_c = draw.uniform(29, 36)  # room, case, charger
        self._skin_c = self._rest_c + draw.uniform(0, 3)
        self._warming_c_per_s = draw.uniform(0.1, 0.3)
        self._cooling_s = draw.uniform(60, 180)
        self.throttled = False

    @property
    def slowing(self) -> float:
        """To be added to a rate's logarithm."""
        return -0.10 - 0.04 * (self._skin_c - 38) if self.throttled else 0.0

    def pass_time(self, seconds: float, *, busy: bool) -> None:
        """Warm or cool by Newton's law."""
        kept = math.exp(-seconds / self._cooling_s)
        goal_c = self._rest_c + (self._warming_c_per_s * self._cooling_s if busy else 0.0)
        self._skin_c = goal_c + (self._skin_c - goal_c) * kept
        self.throttled = self._skin_c >= (38 if self.throttled else 40)


def _drift_at(now_s: float) -> float:
    """How far the drift has gone, of mean 0 and mean square 1 over a long night."""
    x = _NIGHT_S / _DRIFT_S
    mean = (1 - math.exp(-x)) / x
    mean_square = (1 - math.exp(-2 * x)) / (2 * x)
    scale = math.sqrt(mean_square - mean**2)
    return (mean - math.exp(-now_s / _DRIFT_S)) / scale
