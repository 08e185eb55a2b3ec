"""The product: every model of `specs/`, in every mode, on the devices of the session."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.answer_report import describe_wrong_answer
from harness.bundle import Bundle
from harness.dram_share import impossible_floors
from harness.foreign_runs import ForeignCaseRun
from harness.front.checks import require_thresholds, settle, summary_note, summary_word
from harness.front.rates import (
    baseline_bounds,
    conditions_of,
    measurable_bounds,
    measure_rates,
)
from harness.front.recording import Facts, context_of
from harness.front.session import Session, Subject
from harness.front.table import Row
from harness.perf.measure import medians
from harness.runs import CaseRun
from harness.spec import Case, Conditions
from harness.verdict import (
    Verdict,
    judge_answer,
    judge_bounds,
    judge_measurement,
    judge_sizes,
)

AnyRun = CaseRun | ForeignCaseRun


@pytest.fixture
def case_run(harness_session: Session, subject: Subject, case: Case) -> AnyRun:
    """The case's run. Trouble here is an error of bench or bundle, not a failed model."""
    if harness_session.options.compile_only:
        harness_session.bundle(subject)
        pytest.skip("compiled only; nothing was run")
    return harness_session.run(subject, case)


@pytest.fixture
def first_run(harness_session: Session, subject: Subject) -> AnyRun:
    """A run to take rates from: the one of the spec's first case."""
    if harness_session.options.compile_only:
        harness_session.bundle(subject)
        pytest.skip("compiled only; nothing was run")
    return harness_session.run(subject, next(iter(subject.spec.cases.values())))


@pytest.fixture
def bundle(harness_session: Session, subject: Subject) -> Bundle:
    """The bundle that serves the subject."""
    return harness_session.bundle(subject)


@pytest.fixture
def rate_verdicts(
    first_run: AnyRun,
    bundle: Bundle,
    harness_session: Session,
    subject: Subject,
    add_row: Callable[[Row], None],
    add_facts: Callable[[Facts], None],
) -> list[Verdict]:
    """One per floor. Under `--strict` a floor that does not know this SoC is an error."""
    phone = harness_session.phone(subject)
    metrics = first_run.metrics
    conditions = conditions_of(harness_session, subject)
    bounds = (*subject.spec.floors, *subject.spec.metric_ceilings)
    for sentence in impossible_floors(subject.spec.floors, phone.soc_id, phone.dram_bounds):
        warnings.warn(sentence, stacklevel=1)
    # Other people's runners are run once: they know neither warm-ups nor fixed lengths.
    foreign = isinstance(first_run, ForeignCaseRun)
    to_measure = [] if foreign else measurable_bounds(harness_session, subject)
    others = [bound for bound in bounds if bound not in to_measure]
    verdicts = [] if to_measure and not others else judge_bounds(others, phone, conditions, metrics)
    serial, samples = phone.serial, ()
    if to_measure:
        earlier = baseline_bounds(harness_session, subject)
        measured = measure_rates(harness_session, subject, [*to_measure, *earlier])
        verdicts += judge_measurement(to_measure, phone, conditions, measured.measurement)
        serial, samples = measured.serial, measured.measurement.samples
        metrics = medians(measured.measurement.clean) or metrics
    context = context_of(harness_session, subject, serial=serial)
    add_facts(Facts(context, verdicts, metrics, samples))
    add_row(
        Row(
            model=subject.spec.model,
            soc=phone.soc_id,
            mode=subject.mode,
            case="(rate)",
            verdict=summary_word(verdicts),
            metrics=metrics,
            size_bytes=sum(bundle.pte_size_bytes().values()),
            simulated=phone.simulated,
            note=summary_note(verdicts),
        )
    )
    if harness_session.options.strict:
        require_thresholds(verdicts, subject.spec)
    return verdicts


@pytest.fixture
def size_verdicts(
    bundle: Bundle,
    harness_session: Session,
    subject: Subject,
    add_row: Callable[[Row], None],
    add_facts: Callable[[Facts], None],
) -> list[Verdict]:
    """One per ceiling. Under `--strict` a spec without any is an error."""
    manifest, sizes = bundle.manifest, bundle.pte_size_bytes()
    conditions = Conditions(manifest.mode, manifest.max_seq_len, manifest.target, manifest.backend)
    verdicts = judge_sizes(subject.spec.size_ceilings, conditions, sizes)
    add_facts(
        Facts(
            context_of(harness_session, subject),
            verdicts,
            {f"{name}_pte_size_bytes": size for name, size in sizes.items()},
        )
    )
    add_row(
        Row(
            model=subject.spec.model,
            soc=manifest.soc,
            mode=subject.mode,
            case="(size)",
            verdict=summary_word(verdicts),
            size_bytes=sum(sizes.values()),
            note=summary_note(verdicts),
        )
    )
    if harness_session.options.strict:
        require_thresholds(verdicts, subject.spec)
    return verdicts


@pytest.mark.accuracy
def test_answer(
    case_run: AnyRun,
    harness_session: Session,
    subject: Subject,
    case: Case,
    add_row: Callable[[Row], None],
    add_facts: Callable[[Facts], None],
    record_property: Callable[[str, object], None],
) -> None:
    """The reply alone holds the expected words and none of the forbidden ones."""
    verdict = judge_answer(case, case_run.judged)
    metrics = case_run.metrics
    facts, soc = harness_session.device(subject).facts, harness_session.soc(subject)
    row = Row(
        model=subject.spec.model,
        soc=soc.id,
        mode=subject.mode,
        case=case.name,
        verdict=summary_word([verdict]),
        metrics=metrics,
        size_bytes=sum(harness_session.bundle(subject).pte_size_bytes().values()),
        reply=case_run.reply,
        simulated=facts.simulated,
    )
    add_row(row)
    serial = harness_session.serial(subject, case)
    context = context_of(harness_session, subject, case=case.name, serial=serial)
    add_facts(Facts(context, [verdict], metrics))
    properties = {
        "case": case.name,
        "reply": case_run.reply,
        "pushed_bytes": case_run.pushed_bytes,
        "runner_s": round(case_run.runner_s, 3),
    }
    for name, value in properties.items():
        record_property(name, value)
    if verdict.outcome == "fail":
        reference = harness_session.bundle(subject).manifest.cases[case.name].reference_text
        told = describe_wrong_answer(verdict, reference)
        verdict = replace(verdict, sentence=f"{verdict.sentence}\n{told}")
    settle([verdict])


@pytest.mark.perf
def test_rate(rate_verdicts: list[Verdict], harness_session: Session) -> None:
    """Measured rates clear the SoC's floors, under the conditions the floors hold for."""
    settle(rate_verdicts, harness_session.options.inconclusive)


@pytest.mark.size
def test_size(size_verdicts: list[Verdict]) -> None:
    """PTE sizes stay below their ceilings, under the conditions the ceilings hold for."""
    settle(size_verdicts)
