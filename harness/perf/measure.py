"""Runs a model again and again until what is to be known is decided.

The loop knows neither phone nor clock: a `Stand` has both. Before each repeat the phone
rests and must then be fit. A repeat during which it throttled is kept in the record, left
out of the estimate, and doubles the pause: what has overheated once needs longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, Protocol

from harness.perf.compare import Block, Side, block_orders
from harness.perf.plan import Plan
from harness.perf.sequential import BLOCK_LOOKS, LOOKS

End = Literal["decided", "samples", "budget", "unfit"]


@dataclass(frozen=True)
class Sample:
    """One repeat.

    `metrics` by name, None where undefined. `readings` are what the phone said of itself
    before and after. `side` is set in a comparison.
    """

    metrics: Mapping[str, float | None]
    throttled: bool
    readings: Mapping[str, object] = field(default_factory=dict)
    side: Side | None = None


class Stand(Protocol):
    """A phone that is measured, with a clock."""

    def now_s(self) -> float:
        """Seconds since whenever."""

    def rest(self, seconds: float) -> None:
        """Leave the phone alone for a while."""

    def wait_until_fit(self) -> str | None:
        """Wait until it may be measured; why it does not become fit, else None."""

    def run(self, side: Side) -> Sample:
        """Run a bundle once. What is measured alone is "new"."""


@dataclass(frozen=True)
class Measurement:
    """All repeats in order, and why there are no more. `reason` is why the phone was unfit."""

    samples: tuple[Sample, ...]
    end: End
    reason: str = ""

    @property
    def clean(self) -> tuple[Sample, ...]:
        """Those that count."""
        return tuple(sample for sample in self.samples if not sample.throttled)


class _Course:
    """The pauses of one measurement, and its time."""

    def __init__(self, stand: Stand, plan: Plan) -> None:
        self._stand = stand
        self._plan = plan
        self._began_s = stand.now_s()
        self._pause_s = plan.cool_down_s
        self._first = True
        self.samples: list[Sample] = []

    def repeat(self, side: Side = "new") -> Sample | Measurement:
        """One more sample, or the end."""
        pause_s = 0.0 if self._first else self._pause_s
        if self._stand.now_s() - self._began_s + pause_s > self._plan.budget_s:
            return self.ended("budget")
        self._first = False
        self._stand.rest(pause_s)
        reason = self._stand.wait_until_fit()
        if reason is not None:
            return self.ended("unfit", reason)
        sample = self._stand.run(side)
        self.samples.append(sample)
        if sample.throttled:
            longest_s = max(self._plan.longest_pause_s, self._plan.cool_down_s)
            self._pause_s = min(2 * self._pause_s, longest_s)
        return sample

    def ended(self, end: End, reason: str = "") -> Measurement:
        return Measurement(tuple(self.samples), end, reason)


def measure(
    stand: Stand, plan: Plan, is_decided: Callable[[Sequence[Sample]], bool]
) -> Measurement:
    """Repeat until `is_decided`, asked at each look, says so of the clean samples."""
    course = _Course(stand, plan)
    clean: list[Sample] = []
    while len(clean) < plan.most_samples:
        sample = course.repeat()
        if isinstance(sample, Measurement):
            return sample
        if sample.throttled:
            continue
        clean.append(sample)
        if len(clean) in LOOKS and is_decided(clean):
            return course.ended("decided")
    return course.ended("samples")


def measure_blocks(
    stand: Stand, plan: Plan, seed: str, is_decided: Callable[[Sequence[Sample]], bool]
) -> Measurement:
    """Blocks of two old and two new runs until `is_decided` says so of the clean blocks.

    A block in which the phone throttled is made again: half a block compares nothing.
    Samples of such a block all count as throttled.
    """
    course = _Course(stand, plan)
    clean: list[Sample] = []
    for number, order in enumerate(block_orders(seed), start=1):
        block = _clean_block(course, order)
        if isinstance(block, Measurement):
            return _without_parts(block, clean)
        clean += block
        if number in BLOCK_LOOKS and is_decided(clean):
            return _without_parts(course.ended("decided"), clean)
    return _without_parts(course.ended("samples"), clean)


def blocks_of(samples: Sequence[Sample], metric: str) -> list[Block]:
    """The clean blocks' values of one metric; blocks with an undefined value left out."""
    clean = [sample for sample in samples if not sample.throttled]
    blocks: list[Block] = []
    for begin in range(0, len(clean) - 3, 4):
        values = [(sample.side, sample.metrics.get(metric)) for sample in clean[begin : begin + 4]]
        block = tuple((side, value) for side, value in values if side and value)
        if len(block) == len(values):
            blocks.append(block)
    return blocks


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of each metric that some sample has."""
    names = dict.fromkeys(name for sample in samples for name in sample.metrics)
    values = {
        name: [value for sample in samples if (value := sample.metrics.get(name)) is not None]
        for name in names
    }
    return {name: median(found) for name, found in values.items() if found}


def _clean_block(course: _Course, order: Sequence[Side]) -> list[Sample] | Measurement:
    while True:
        block: list[Sample] = []
        for side in order:
            sample = course.repeat(side)
            if isinstance(sample, Measurement):
                return sample
            block.append(sample)
            if sample.throttled:
                break
        else:
            return block


def _without_parts(measurement: Measurement, clean: Sequence[Sample]) -> Measurement:
    """The same with every sample outside of a clean block marked as left out."""
    kept = {id(sample) for sample in clean}
    samples = tuple(
        sample if id(sample) in kept else _left_out(sample) for sample in measurement.samples
    )
    return Measurement(samples, measurement.end, measurement.reason)


def _left_out(sample: Sample) -> Sample:
    return Sample(sample.metrics, True, sample.readings, sample.side)
