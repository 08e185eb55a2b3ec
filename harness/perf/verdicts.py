"""Sentences about decisions: what was measured, how sure it is, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.perf.floor import Estimate, next_look
from harness.perf.sequential import FEWEST_SAMPLES

if TYPE_CHECKING:
    from harness.perf.measure import Measurement

_WHY_NO_MORE = {
    "budget": "the time for repeats is over",
    "samples": "no more repeats are made",
    "decided": "another bound was decided",
}


def told_estimate(estimate: Estimate, unit: str) -> str:
    """ "median 50.1 tok/s, spread 1.2 %, interval 49.0 to 51.2 from 8 repeats"."""
    return (
        f"median {estimate.median:.1f} {unit}, spread {estimate.spread:.1%}, "
        f"interval {estimate.low:.1f} to {estimate.high:.1f} from {estimate.samples} repeats"
    ).replace("%", " %")


def told_left_out(measurement: Measurement) -> str:
    """ "; 2 throttled repeats left out", or nothing."""
    count = len(measurement.samples) - len(measurement.clean)
    return f"; {count} throttled repeat{'s' if count > 1 else ''} left out" if count else ""


def why_no_more(measurement: Measurement) -> str:
    """Why the repeats ended."""
    if measurement.end == "unfit":
        return f"the phone did not become fit: {measurement.reason}"
    return _WHY_NO_MORE[measurement.end]


def why_undecided(measurement: Measurement, values: Sequence[float]) -> str:
    """Why there are no more repeats although nothing is decided."""
    count, why = len(values), why_no_more(measurement)
    if count < FEWEST_SAMPLES:
        return f"{count} clean repeats of at least {FEWEST_SAMPLES}: {why}"
    later = next_look(count)
    return why if later is None or measurement.end == "samples" else f"{why} after {count}"
