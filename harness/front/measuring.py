"""Repeated measurements of a session: what to run, for how long, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.bundle import Bundle
from harness.device import Device
from harness.device.state import fixed_performance
from harness.front.options import Options
from harness.perf.compare import Side
from harness.perf.floor import Decision
from harness.perf.measure import Measurement, Sample, measure, measure_blocks
from harness.perf.plan import Plan
from harness.perf.sequential import BLOCK_LOOKS, MOST_BLOCKS
from harness.perf.verdicts import told_estimate
from harness.repeats import FitRule, PhoneStand
from harness.runs import RunRequest
from harness.runtime import Runtime
from harness.spec import MetricBound, Spec
from harness.spec.model import MeasuringRule
from harness.vocabulary import METRIC_KINDS, Mode


@dataclass(frozen=True)
class Measured:
    """Repeats and the serial of the phone they were made on."""

    serial: str
    measurement: Measurement


def measure_on(
    stand: PhoneStand, plan: Plan, is_decided: Callable[[Sequence[Sample]], bool]
) -> Measured:
    """Repeat what the stand runs, apart from accuracy runs."""
    request = stand.requests["new"]
    with fixed_performance(stand.device) as fixed:
        mode = ", in fixed-performance mode" if fixed else ""
        stand.say(
            f"measuring {request} on {stand.device.serial}{mode}: "
            f"{request.fixed_tokens} tokens a repeat, 5 to {plan.most_samples} repeats, "
            f"{plan.cool_down_s:g} s apart"
        )
        return Measured(stand.device.serial, measure(stand, plan, is_decided))


def compare_on(
    stand: PhoneStand, plan: Plan, seed: str, is_decided: Callable[[Sequence[Sample]], bool]
) -> Measured:
    """Blocks of old and new runs of what the stand has for either side."""
    with fixed_performance(stand.device) as fixed:
        mode = ", in fixed-performance mode" if fixed else ""
        stand.say(
            f"comparing {stand.requests['old'].bundle.dir} with {stand.requests['new'].bundle.dir} "
            f"on {stand.device.serial}{mode}: {stand.requests['new'].fixed_tokens} tokens a run, "
            f"{min(BLOCK_LOOKS)} to {MOST_BLOCKS} blocks of two old and two new runs, "
            f"{plan.cool_down_s:g} s apart"
        )
        return Measured(stand.device.serial, measure_blocks(stand, plan, seed, is_decided))


def make_stand(
    device: Device,
    runtime: Runtime,
    requests: Mapping[Side, RunRequest],
    said: tuple[MeasuringRule, Options],
    say: Callable[[str], None],
) -> PhoneStand:
    """A phone to measure bundles on; `said` is what spec and command line say."""
    rule, options = said
    wait_s = rule.fit_wait_s if options.fit_wait_s is None else options.fit_wait_s
    fit = FitRule(rule.limits, wait_s)
    return PhoneStand(device, runtime, requests, fit, say)


def measuring_request(bundle: Bundle, spec: Spec, mode: Mode, timeout_s: float) -> RunRequest:
    """A run of the first case that generates a fixed number of tokens.

    As many in each turn as the spec says, or as fit behind the prompts.
    """
    case = next(iter(spec.cases.values()))
    turns = bundle.manifest.cases[case.name].turns
    # Between two turns the runner feeds a stop token.
    taken = sum(len(turn.prompt_token_ids) + 1 for turn in turns) - 1
    room = (bundle.manifest.max_seq_len - taken) // len(turns)
    tokens = max(2, min(spec.measurement.fixed_tokens, room))
    warmup = spec.measurement.warmup
    return RunRequest(
        bundle, case.name, mode, tokens, timeout_s, warmup=warmup, fixed_tokens=tokens
    )


def measuring_plan(options: Options, spec: Spec) -> Plan:
    """The spec's limits of time, with what the command line says instead."""
    plan = spec.measurement.plan
    if options.cool_down_s is not None:
        plan = replace(plan, cool_down_s=options.cool_down_s)
    if options.perf_budget_s is not None:
        plan = replace(plan, budget_s=options.perf_budget_s)
    return plan


def comparing_plan(options: Options, spec: Spec) -> Plan:
    """The same for twice as many runs."""
    plan = measuring_plan(options, spec)
    return plan if options.perf_budget_s is not None else replace(plan, budget_s=2 * plan.budget_s)


def told_progress(what: str, bounds: Sequence[MetricBound], decisions: Sequence[Decision]) -> str:
    """One line at a look: what is known by now of each number."""
    parts = [
        f"{bound.metric} {decision.outcome}, "
        + told_estimate(decision.estimate, METRIC_KINDS[bound.metric].unit)
        for bound, decision in zip(bounds, decisions, strict=True)
        if decision.estimate is not None
    ]
    return f"  {what}: " + "; ".join(parts)
