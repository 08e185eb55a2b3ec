"""Rates beside the bound that the DRAM puts on them (`harness.roofline.dram_bounds`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.spec.model import MetricBound


def share_of_bound(rate: float, metric: str, bounds: Mapping[str, float]) -> str:
    """ ", 41 % of the DRAM bound", to stand behind a rate; empty without a bound."""
    bound = bounds.get(metric)
    return f", {100 * rate / bound:.0f} % of the DRAM bound" if bound else ""


def impossible_floors(
    floors: Sequence[MetricBound], soc_id: str, bounds: Mapping[str, float]
) -> list[str]:
    """A sentence for each floor that no run can clear, because the DRAM is too slow for it."""
    sentences = []
    for floor in floors:
        value, bound = floor.value_for(soc_id), bounds.get(floor.metric)
        if value is not None and bound is not None and value > bound:
            sentences.append(
                f"{floor.place}: the floor {value:g} of {floor.metric} for {soc_id} is above "
                f"the DRAM bound {bound:.1f}: no run can clear it"
            )
    return sentences
