"""The product: each model against what it was, with `--compare-pte` or `--baseline`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from harness.comparison_verdicts import comparison_metrics, judge_comparison
from harness.front.checks import settle, summary_word
from harness.front.measuring import Measured
from harness.front.rates import (
    baseline_bounds,
    compare_bundles,
    conditions_of,
    measurable_bounds,
    measure_rates,
)
from harness.front.recording import Facts, context_of
from harness.front.session import Session, Subject
from harness.front.table import Row
from harness.perf.measure import medians
from harness.verdict import Verdict, judge_measurement

Tell = Callable[[str, Verdict, Measured, Mapping[str, float | None]], None]

pytestmark = pytest.mark.perf


@pytest.fixture
def tell(
    harness_session: Session,
    subject: Subject,
    add_row: Callable[[Row], None],
    add_facts: Callable[[Facts], None],
) -> Tell:
    """Puts a verdict on repeats into table, JUnit and journal, and ends the test by it."""

    def end(
        name: str, verdict: Verdict, measured: Measured, metrics: Mapping[str, float | None]
    ) -> None:
        context = context_of(harness_session, subject, serial=measured.serial)
        add_facts(Facts(context, [verdict], metrics, measured.measurement.samples))
        phone = harness_session.phone(subject)
        row = Row(
            model=subject.spec.model,
            soc=phone.soc_id,
            mode=subject.mode,
            case=f"({name})",
            verdict=summary_word([verdict]),
            metrics=metrics,
            size_bytes=sum(harness_session.bundle(subject).pte_size_bytes().values()),
            note=verdict.sentence,
        )
        add_row(row)
        settle([verdict], harness_session.options.inconclusive)

    return end


@pytest.fixture
def compared(harness_session: Session, subject: Subject) -> Measured:
    """Old and new bundle in turn. A bundle that does not fit is an error, not a slow model."""
    harness_session.device(subject)
    harness_session.bundle(subject)
    _skip_simulated(harness_session, subject)
    return compare_bundles(harness_session, subject)


@pytest.fixture
def repeated(harness_session: Session, subject: Subject) -> Measured:
    """Repeats for the baseline's bound and the spec's together."""
    _skip_compile_only(harness_session, subject)
    _skip_simulated(harness_session, subject)
    bounds = [
        *measurable_bounds(harness_session, subject),
        *baseline_bounds(harness_session, subject),
    ]
    return measure_rates(harness_session, subject, bounds)


@pytest.mark.asked("compared")
def test_no_slower(compared: Measured, tell: Tell) -> None:
    """The new bundle is not slower than the old one."""
    verdict = judge_comparison(compared.measurement)
    tell("old to new", verdict, compared, comparison_metrics(verdict))


@pytest.mark.asked("baseline")
def test_baseline(
    repeated: Measured, harness_session: Session, subject: Subject, tell: Tell
) -> None:
    """The model is not slower than it was."""
    bounds = baseline_bounds(harness_session, subject)
    phone, conditions = harness_session.phone(subject), conditions_of(harness_session, subject)
    (verdict,) = judge_measurement(bounds, phone, conditions, repeated.measurement)
    tell("baseline", verdict, repeated, medians(repeated.measurement.clean))


def _skip_compile_only(session: Session, subject: Subject) -> None:
    if session.options.compile_only:
        session.bundle(subject)
        pytest.skip("compiled only; nothing was run")


def _skip_simulated(session: Session, subject: Subject) -> None:
    if session.phone(subject).simulated:
        pytest.skip("a simulated phone's speed is no phone's: it is compared with nothing earlier")
