"""Verdicts: pure functions of a spec's expectations and what was measured.

A verdict is about the model. Trouble with device, adb or runner never gets here: it is
an error (`harness.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from harness.answers import Reply, judge_reply
from harness.dram_share import share_of_bound
from harness.spec.model import Case, Conditions, MetricBound, SizeCeiling
from harness.vocabulary import METRIC_KINDS

if TYPE_CHECKING:
    from harness.perf.floor import Decision
    from harness.perf.measure import Measurement

Outcome = Literal["pass", "fail", "skip", "inconclusive"]
Kind = Literal["accuracy", "perf", "size"]
# Why a check gave no judgement, for code that treats the reasons apart (`--strict`).
Reason = Literal["no_threshold", "other_conditions", "simulated", "undefined", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One judgement.

    `sentence` is what a stranger needs to read. `details` are the numbers and texts behind
    it, by name. `reason` is set where the outcome is "skip" or "inconclusive".
    """

    outcome: Outcome
    kind: Kind
    sentence: str
    reason: Reason | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Phone:
    """What verdicts know of a device: its SoC ("SM8750"), serial, and whether it is silicon.

    `dram_bounds` are `harness.roofline.dram_bounds` of the bundle on it, shown with the rates.
    """

    soc_id: str
    serial: str | None = None
    simulated: bool = False
    dram_bounds: Mapping[str, float] = field(default_factory=dict)


def judge_answer(case: Case, reply: Reply) -> Verdict:
    """Whether a reply is what the case expects.

    Its text is that of the generated ids alone, and a prompt that it begins with does not count.
    How it ended is shown because a reply cut short often lacks a word.
    """
    details = {
        "case": case.name,
        "prompt": case.prompt,
        "pictures": tuple(str(image) for image in case.images),
        "reply": reply.text,
        "stop_reason": reply.stop_reason,
        "expected": {key: value for key, value in asdict(case.expect).items() if value},
    }
    findings = judge_reply(reply, case.expect, case.prompt)
    if not findings:
        sentence = f"the reply to {case.name} is right: {reply.text!r}"
        return Verdict("pass", "accuracy", sentence, details=details)
    cut = "" if reply.stop_reason == "stop_token" else f", cut off by {reply.stop_reason}"
    wrong = "; ".join(str(finding) for finding in findings)
    sentence = f"the reply to {case.name} is wrong: {wrong} (got {reply.text!r}{cut}; {case.place})"
    return Verdict("fail", "accuracy", sentence, details=details)


def judge_bounds(
    bounds: Sequence[MetricBound],
    phone: Phone,
    conditions: Conditions,
    metrics: Mapping[str, float | None],
) -> list[Verdict]:
    """Measured numbers against a spec's floors and ceilings: one verdict each, at least one.

    Args:
        bounds: the spec's.
        phone: what was measured on; on a simulated one no bound is judged.
        conditions: what the run was measured under; `mode` is the one it ran in.
        metrics: `harness.metrics.measure_all`.
    """
    if not bounds:
        return [_skip("perf", "no_threshold", "the spec has no floor for any rate")]
    return [_judge_bound(bound, phone, conditions, metrics) for bound in bounds]


def judge_measurement(
    bounds: Sequence[MetricBound],
    phone: Phone,
    conditions: Conditions,
    measurement: Measurement,
) -> list[Verdict]:
    """Repeated measurements against the bounds they were made for: one verdict each.

    Args:
        bounds: those that `bounds_to_measure` gives.
        measurement: repeats under these conditions on that phone.
    """
    return [_judge_repeats(bound, phone, conditions, measurement) for bound in bounds]


def bounds_to_measure(
    bounds: Sequence[MetricBound], phone: Phone, conditions: Conditions
) -> list[MetricBound]:
    """Those that can be judged on this phone under these conditions."""
    return [
        bound
        for bound in bounds
        if not phone.simulated
        and bound.value_for(phone.soc_id, phone.serial) is not None
        and not bound.holds_for.differences(conditions)
    ]


def decide_bound(
    bound: MetricBound, phone: Phone, samples: Sequence[Mapping[str, float | None]]
) -> Decision:
    """What clean samples, given by their metrics, say of one bound."""
    from harness.perf.floor import Decision, decide  # where no rate is measured, not needed

    limit = bound.value_for(phone.soc_id, phone.serial)
    values = [value for metrics in samples if (value := metrics.get(bound.metric))]
    if limit is None:
        return Decision("undecided", None)
    return decide(values, limit, METRIC_KINDS[bound.metric].better)


def judge_sizes(
    ceilings: Sequence[SizeCeiling], conditions: Conditions, pte_size_bytes: Mapping[str, int]
) -> list[Verdict]:
    """PTE sizes against a spec's ceilings: one verdict per bound, at least one.

    Args:
        ceilings: the spec's.
        conditions: what the bundle was compiled for; `mode` is the bundle's own, since a
            hybrid bundle that runs in kv mode is no smaller for it.
        pte_size_bytes: size per component, as `Bundle.pte_size_bytes()` gives it.
    """
    if not ceilings:
        return [_skip("size", "no_threshold", "the spec has no ceiling for any size")]
    verdicts = []
    for ceiling in ceilings:
        differences = ceiling.holds_for.differences(conditions)
        if differences:
            what = "the size ceiling"
            verdicts.append(_other_conditions("size", what, differences, str(ceiling.place)))
            continue
        for component, bound in ceiling.pte_size_bytes.items():
            verdicts.append(_judge_size(ceiling, component, bound, pte_size_bytes.get(component)))
    return verdicts


def _judge_bound(
    bound: MetricBound,
    phone: Phone,
    conditions: Conditions,
    metrics: Mapping[str, float | None],
) -> Verdict:
    metric, name = METRIC_KINDS[bound.metric], _bound_name(bound)
    value, limit = metrics.get(bound.metric), bound.value_for(phone.soc_id, phone.serial)
    details = {
        "metric": bound.metric,
        "value": value,
        name: limit,
        "unit": metric.unit,
        "soc": phone.soc_id,
        "conditions": str(conditions),
        "simulated": phone.simulated,
        "dram_bound": phone.dram_bounds.get(bound.metric),
    }
    where = f"metric {bound.metric}, {bound.holds_for}; {bound.place}"
    if limit is None:
        known = ", ".join(bound.per_soc)
        sentence = (
            f"no {name} for {phone.soc_id}: {bound.metric} has one for {known} ({bound.place})"
        )
        return _skip("perf", "no_threshold", sentence, details)
    if phone.simulated:
        shown = "" if value is None else f"{value:.1f} {metric.unit} is simulated: "
        sentence = (
            f"{shown}the {name} {limit:g} {metric.unit} for {phone.soc_id} is for silicon ({where})"
        )
        return _skip("perf", "simulated", sentence, details)
    differences = bound.holds_for.differences(conditions)
    if differences:
        what = f"the {bound.metric} {name} for {phone.soc_id}"
        return _other_conditions("perf", what, differences, str(bound.place), details)
    if value is None:
        sentence = f"{bound.metric} is undefined in this run: too few tokens ({where})"
        return Verdict("inconclusive", "perf", sentence, "undefined", details)
    comparison = _compared(value, limit, "below", "above")
    share = share_of_bound(value, bound.metric, phone.dram_bounds)
    sentence = (
        f"{_spoken(bound.metric)} {value:.1f} {metric.unit}{share}{',' if share else ''} "
        f"is {comparison} "
        f"the {name} {limit:g} {metric.unit} for {phone.soc_id} ({where})"
    )
    missed = value < limit if metric.better == "higher" else value > limit
    return Verdict("fail" if missed else "pass", "perf", sentence, details=details)


def _judge_repeats(
    bound: MetricBound, phone: Phone, conditions: Conditions, measurement: Measurement
) -> Verdict:
    from harness.perf.verdicts import told_estimate, told_left_out, why_undecided

    metric, name = METRIC_KINDS[bound.metric], _bound_name(bound)
    limit = bound.value_for(phone.soc_id, phone.serial) or 0.0
    clean = [sample.metrics for sample in measurement.clean]
    values = [value for metrics in clean if (value := metrics.get(bound.metric))]
    decision = decide_bound(bound, phone, clean)
    estimate = decision.estimate
    details = {
        "metric": bound.metric,
        "unit": metric.unit,
        name: limit,
        "soc": phone.soc_id,
        "conditions": str(conditions),
        "estimate": None if estimate is None else asdict(estimate),
        "samples": values,
        "end": measurement.end,
    }
    where = f"metric {bound.metric}, {bound.holds_for}; {bound.place}"
    subject = _spoken(bound.metric)
    against = f"the {name} {limit:g} {metric.unit} for {phone.soc_id}"
    if bound.origin == "baseline":
        against += f" that the baseline gives ({bound.note})"
    left_out = told_left_out(measurement)
    if estimate is None or decision.outcome == "undecided":
        told = "" if estimate is None else f": {told_estimate(estimate, metric.unit)}"
        why = why_undecided(measurement, values)
        sentence = f"{subject} is not decided against {against}{told}; {why}{left_out} ({where})"
        reason: Reason = "undefined" if clean and not values else "undecided"
        return Verdict("inconclusive", "perf", sentence, reason, details)
    comparison = _compared(estimate.centre, limit, "below", "above")
    sentence = (
        f"{subject} {estimate.centre:.1f} {metric.unit} is {comparison} {against}: "
        f"{told_estimate(estimate, metric.unit)}{left_out} ({where})"
    )
    return Verdict(decision.outcome, "perf", sentence, details=details)


def _bound_name(bound: MetricBound) -> str:
    return "floor" if METRIC_KINDS[bound.metric].better == "higher" else "ceiling"


def _judge_size(ceiling: SizeCeiling, component: str, bound: int, size: int | None) -> Verdict:
    details = {"component": component, "size_bytes": size, "ceiling_bytes": bound}
    where = f"{ceiling.holds_for}; {ceiling.place}"
    if size is None:
        sentence = f"the bundle has no {component}, whose size has a ceiling ({where})"
        return Verdict("fail", "size", sentence, details=details)
    comparison = _compared(size, bound, "below", "above")
    sentence = (
        f"{component} PTE of {size:,} bytes is {comparison} the ceiling {bound:,} bytes ({where})"
    )
    return Verdict("fail" if size > bound else "pass", "size", sentence, details=details)


def _compared(value: float, bound: float, below: str, above: str) -> str:
    """ "25 % below", "3.2 % above", "equal to"."""
    percent = abs(value - bound) / bound * 100
    if value == bound:
        return "equal to"
    digits = 0 if percent >= 9.5 else 1 if percent >= 0.1 else 3
    return f"{percent:.{digits}f} % {below if value < bound else above}"


def _spoken(metric_name: str) -> str:
    """ "decode_tokens_per_s" as "decode"."""
    return metric_name.removesuffix("_tokens_per_s").replace("e2e", "end-to-end")


def _other_conditions(
    kind: Kind,
    what: str,
    differences: Sequence[str],
    place: str,
    details: Mapping[str, object] | None = None,
) -> Verdict:
    sentence = f"{what} holds for other conditions: {'; '.join(differences)} ({place})"
    return _skip(kind, "other_conditions", sentence, details)


def _skip(
    kind: Kind, reason: Reason, sentence: str, details: Mapping[str, object] | None = None
) -> Verdict:
    return Verdict("skip", kind, sentence, reason, details or {})
