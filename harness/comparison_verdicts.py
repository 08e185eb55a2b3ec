"""The verdict on two bundles that were run in turn on one phone. Pure."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median

from harness.perf.compare import TOLERATED_LOSS, Comparison, Difference, Side, compare
from harness.perf.measure import Measurement, blocks_of
from harness.perf.sequential import BLOCK_LOOKS, FAIL_LEVEL
from harness.perf.verdicts import told_left_out, why_no_more
from harness.verdict import Verdict
from harness.vocabulary import METRIC_KINDS

COMPARED_METRIC = "decode_tokens_per_s"


def judge_comparison(measurement: Measurement, metric: str = COMPARED_METRIC) -> Verdict:
    """Whether the new bundle is slower than the old one.

    Args:
        measurement: blocks of `harness.perf.measure.measure_blocks`.
        metric: the number that is compared; only one, since each would have false alarms.
    """
    kind = METRIC_KINDS[metric]
    blocks = blocks_of(measurement.samples, metric)
    comparison = compare(blocks, kind.better)
    details = {
        "metric": metric,
        "unit": kind.unit,
        "difference": None if comparison.difference is None else asdict(comparison.difference),
        "medians": side_medians(measurement, metric),
        "false_alarm_rate": FAIL_LEVEL,
        "tolerated_loss": TOLERATED_LOSS,
        "end": measurement.end,
    }
    left_out = told_left_out(measurement)
    rule = (
        f"metric {metric}; FAIL at a false-alarm rate of {_percent(FAIL_LEVEL)} over all looks, "
        f"PASS when a loss of {_percent(TOLERATED_LOSS)} is ruled out"
    )
    difference = comparison.difference
    if difference is None or comparison.outcome == "undecided":
        why = f"{len(blocks)} clean blocks of at least {min(BLOCK_LOOKS)}: "
        why = (why if difference is None else "") + why_no_more(measurement)
        seen = "" if difference is None else f": {told_difference(comparison)}"
        sentence = (
            f"whether the new bundle is slower is not decided{seen}; {why}{left_out} ({rule})"
        )
        return Verdict("inconclusive", "perf", sentence, "undecided", details)
    found = "slower than" if comparison.outcome == "fail" else "as fast as"
    sentence = (
        f"the new bundle is {found} the old one: {told_difference(comparison)}; "
        f"{_told_medians(measurement, metric)}{left_out} ({rule})"
    )
    return Verdict(comparison.outcome, "perf", sentence, details=details)


def comparison_metrics(verdict: Verdict) -> dict[str, float | None]:
    """What a chart of comparisons is drawn by: the numbers of a verdict, by name."""
    details = verdict.details
    difference, medians = details["difference"], details["medians"]
    assert isinstance(medians, dict)
    shown = {name: medians.get(side) for side, name in (("new", ""), ("old", "old."))}
    metrics = {f"{name}{details['metric']}": value for name, value in shown.items()}
    for name in ("change", "low", "high", "effect"):
        value = difference[name] if isinstance(difference, dict) else None
        metrics[f"compare.{name}"] = value
    for name in ("false_alarm_rate", "tolerated_loss"):
        value = details[name]
        assert isinstance(value, float)
        metrics[f"compare.{name}"] = value
    return metrics


def told_difference(comparison: Comparison) -> str:
    """ "change -12.0 %, interval -13.1 % to -10.9 %, effect -9.2, from 8 blocks"."""
    difference = comparison.difference
    if difference is None:
        return "too few blocks"
    effect = "" if difference.effect is None else f", effect {difference.effect:+.1f} spreads"
    return (
        f"change {_percent(difference.change, '+')}, {_told_interval(difference)}{effect} "
        f"from {difference.blocks} blocks"
    )


def side_medians(measurement: Measurement, metric: str) -> dict[Side, float]:
    """The median of the clean runs of either bundle, where there are any."""
    sides: tuple[Side, Side] = ("old", "new")
    values = {
        side: [v for s in measurement.clean if s.side == side and (v := s.metrics.get(metric))]
        for side in sides
    }
    return {side: median(found) for side, found in values.items() if found}


def _told_medians(measurement: Measurement, metric: str) -> str:
    medians, unit = side_medians(measurement, metric), METRIC_KINDS[metric].unit
    return f"medians {medians['old']:.1f} {unit} old, {medians['new']:.1f} {unit} new"


def _told_interval(difference: Difference) -> str:
    low, high = difference.low, difference.high
    if low is not None and high is not None:
        return f"interval {_percent(low, '+')} to {_percent(high, '+')}"
    if low is not None:
        return f"interval from {_percent(low, '+')} on"
    return "no interval" if high is None else f"interval up to {_percent(high, '+')}"


def _percent(share: float, sign: str = "") -> str:
    return f"{100 * share:{sign}.1f} %".replace(".0 %", " %")
