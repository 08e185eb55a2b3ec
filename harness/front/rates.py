"""Repeats on a phone of the session: against bounds, or of two bundles in turn."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from harness.bench.pool import LeasedPhone
from harness.comparison_verdicts import COMPARED_METRIC, told_difference
from harness.front.bundles import given_bundle
from harness.front.measuring import (
    Measured,
    compare_on,
    comparing_plan,
    make_stand,
    measure_on,
    measuring_plan,
    measuring_request,
    told_progress,
)
from harness.front.session import Session, Subject
from harness.perf.compare import Side, compare
from harness.perf.measure import Sample, blocks_of
from harness.runs import RunRequest, make_plan
from harness.spec import Conditions, MetricBound
from harness.verdict import bounds_to_measure, decide_bound
from harness.vocabulary import METRIC_KINDS


def conditions_of(session: Session, subject: Subject) -> Conditions:
    """What the subject is measured under."""
    made = session.bundle(subject).manifest
    return Conditions(subject.mode, made.max_seq_len, made.target, made.backend)


def measurable_bounds(session: Session, subject: Subject) -> list[MetricBound]:
    """The spec's bounds that can be judged here by repeats."""
    spec = subject.spec
    bounds = (*spec.floors, *spec.metric_ceilings)
    return bounds_to_measure(bounds, session.phone(subject), conditions_of(session, subject))


def baseline_bounds(session: Session, subject: Subject) -> list[MetricBound]:
    """The bound that `--baseline` gives; none on a simulated phone, or without the option.

    Raises:
        InputError: it has no comparable record.
    """
    baseline, phone = session.options.baseline, session.phone(subject)
    if baseline is None or phone.simulated:
        return []
    conditions = conditions_of(session, subject)
    model = subject.spec.model
    return [baseline.bound(COMPARED_METRIC, model, phone.soc_id, phone.serial, conditions)]


def measure_rates(session: Session, subject: Subject, bounds: Sequence[MetricBound]) -> Measured:
    """Repeats of the spec's first case until each bound is decided, or time is over.

    Checks with other bounds of the same subject get the same repeats, so each must give
    those of all checks.
    """
    key = ("measured", subject.spec.model, subject.mode, subject.place)
    return session.remember(subject, key, lambda: _measure(session, subject, bounds))


def _measure(session: Session, subject: Subject, bounds: Sequence[MetricBound]) -> Measured:
    options, spec = session.options, subject.spec
    phone, runtime = session.phone(subject), session.runtime(subject)
    request = _request(session, subject)

    def is_decided(clean: Sequence[Sample]) -> bool:
        metrics = [sample.metrics for sample in clean]
        decisions = [decide_bound(bound, phone, metrics) for bound in bounds]
        session.say(told_progress(str(subject), bounds, decisions))
        return all(decision.outcome != "undecided" for decision in decisions)

    def measure_leased(leased: LeasedPhone) -> Measured:
        said = (spec.measurement, options)
        stand = make_stand(leased.device, runtime, {"new": request}, said, session.say)
        return measure_on(stand, measuring_plan(options, spec), is_decided)

    plan = make_plan(runtime, request)
    return session.on_some_phone(subject, str(request), measure_leased, plan)


def compare_bundles(session: Session, subject: Subject) -> Measured:
    """Old and new bundle of `--compare-pte`, in turn on one phone, until it is decided.

    Raises:
        BundleError: one of them is not there, or fits neither spec nor phone.
    """
    key = ("compared", subject.spec.model, subject.mode, subject.place)
    return session.remember(subject, key, lambda: _compare(session, subject))


def _compare(session: Session, subject: Subject) -> Measured:
    options, spec, runtime = session.options, subject.spec, session.runtime(subject)
    old, new = _old_request(session, subject), _request(session, subject)
    tokens = min(old.max_new_tokens, new.max_new_tokens)  # prompts may differ in length
    requests: dict[Side, RunRequest] = {
        "old": replace(old, max_new_tokens=tokens, fixed_tokens=tokens),
        "new": replace(new, max_new_tokens=tokens, fixed_tokens=tokens),
    }
    better = METRIC_KINDS[COMPARED_METRIC].better

    def is_decided(clean: Sequence[Sample]) -> bool:
        comparison = compare(blocks_of(clean, COMPARED_METRIC), better)
        told = told_difference(comparison)
        session.say(f"  {subject}: {COMPARED_METRIC} {comparison.outcome}, {told}")
        return comparison.outcome != "undecided"

    def compare_leased(leased: LeasedPhone) -> Measured:
        said = (spec.measurement, options)
        stand = make_stand(leased.device, runtime, requests, said, session.say)
        # The test holds by the coin that orders the runs, so it is tossed anew each time; the
        # journal keeps the order.
        return compare_on(stand, comparing_plan(options, spec), uuid.uuid4().hex, is_decided)

    plan = make_plan(runtime, requests["new"])
    return session.on_some_phone(subject, str(requests["new"]), compare_leased, plan)


def _request(session: Session, subject: Subject) -> RunRequest:
    timeout_s = session.options.run_timeout_s
    return measuring_request(session.bundle(subject), subject.spec, subject.mode, timeout_s)


def _old_request(session: Session, subject: Subject) -> RunRequest:
    compared = session.options.compared
    assert compared is not None, "tests of a comparison are made for --compare-pte only"
    bundle = given_bundle(session.wanted_bundle(subject), compared[0])
    timeout_s = session.options.run_timeout_s
    return measuring_request(bundle, subject.spec, subject.mode, timeout_s)
