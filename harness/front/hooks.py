"""The pytest plugin: hooks and fixtures, each a call into the harness."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict

import pytest

from harness.cache import cache_root
from harness.errors import HarnessError, InputError, SpecError
from harness.front.junit import JunitTypes
from harness.front.options import add_options, read_options
from harness.front.outcomes import annotate, notes_of, tell_outcome
from harness.front.phones import count_fit_phones
from harness.front.places import lease_place
from harness.front.recording import FACTS, Facts, JournalWriter, context_asked
from harness.front.reporting import Reporting
from harness.front.selection import (
    case_of,
    check_marker_names,
    leave_out_other_models,
    parameter_sets,
    specs_that_demand,
    subject_of,
)
from harness.front.session import Session
from harness.front.state import State
from harness.front.table import Row
from harness.front.workers import Workers
from harness.journal import JOURNAL_NAME
from harness.socs import find_soc
from harness.spec import Spec, check_recipe_for_soc

_KINDS = {
    "accuracy": "the reply to a case holds what it should",
    "perf": "rates against the floors of the SoC",
    "size": "PTE sizes against their ceilings",
    "demand(name)": "made for the specs whose accuracy section has that demand",
    "asked(name)": "made where the command line has that option",
}
_SESSION_FIXTURE = "harness_session"


_STATE = pytest.StashKey[State]()
_ROW = pytest.StashKey[Row]()
_FACTS = pytest.StashKey[Facts]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto` on a bench: as many workers as there are fit phones. Before any configuring."""
    try:
        return count_fit_phones(read_options(config))
    except HarnessError as err:
        raise pytest.UsageError(str(err)) from err


@pytest.hookimpl(trylast=True)  # when every plugin has registered its markers
def pytest_configure(config: pytest.Config) -> None:
    try:
        state = config.stash[_STATE] = State(config)
        _register_markers(config, state.specs.values())
        if config.getini("strict_markers") or config.getini("strict"):
            check_marker_names(config.getoption("markexpr"), config.getini("markers"))
    except (InputError, SpecError) as err:
        raise pytest.UsageError(str(err)) from err
    if not hasattr(config, "workerinput"):
        reporting = Reporting(config, state.console, state.bench_records)
        config.pluginmanager.register(reporting, "harness.front.reporting")
        journal = state.options.journal or cache_root() / JOURNAL_NAME
        writer = JournalWriter(journal.absolute(), config.rootpath)
        config.pluginmanager.register(writer, "harness.front.journal")
        config.pluginmanager.register(Workers(state), "harness.front.workers")
        config.pluginmanager.register(JunitTypes(config), "harness.front.junit")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise over device x spec x mode x case, as far as a test asks for them."""
    if "subject" not in metafunc.fixturenames:
        return
    state = metafunc.config.stash[_STATE]
    per_case = "case" in metafunc.fixturenames
    asked = metafunc.definition.get_closest_marker("asked")
    if asked and getattr(state.options, asked.args[0]) is None:
        metafunc.parametrize(["subject"], [])
        return
    marker = metafunc.definition.get_closest_marker("demand")
    specs = specs_that_demand(state.specs.values(), marker.args[0] if marker else None)
    params = parameter_sets(state.options, specs, per_case=per_case)
    metafunc.parametrize(["subject", "case"] if per_case else ["subject"], params)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out models that a single given bundle is not; note the modes that will run.

    What the SoC of `--soc` cannot run is told here, once, and not by each test.
    """
    state = config.stash[_STATE]
    # pytest keeps a place for a test without any parameter; nobody demanded it.
    items[:] = [item for item in items if not _is_conditional(item) or subject_of(item)]
    if state.options.pre_gen_pte is not None:
        sentence, other = leave_out_other_models(state.options.pre_gen_pte, items)
        if other:
            state.console.say(sentence)
            config.hook.pytest_deselected(items=other)
            items[:] = [item for item in items if item not in other]
    subjects = [subject_of(item) for item in items]
    state.selected_modes |= {subject.mode for subject in subjects if subject is not None}
    if state.options.soc is not None and state.options.pre_gen_pte is None:
        specs = [subject.spec for subject in subjects if subject is not None]
        on_htp = [s for s in specs if (state.options.backend or s.backend) == "qnn"]
        _check_socs(state, on_htp)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _SESSION_FIXTURE not in getattr(item, "fixturenames", ()):
        return report
    tell_outcome(item, report, call.excinfo.value if call.excinfo is not None else None)
    annotate(report, of_product=True)
    facts = item.stash.get(_FACTS, None) if call.when == "call" else None
    if facts is None and not report.passed:
        facts = _facts_asked(item)
    if facts is not None:
        annotate(report, **{FACTS: facts.as_plain()})
    row = item.stash.get(_ROW, None)
    if row is not None:
        annotate(report, row=asdict(row))
        del item.stash[_ROW]
    given_up = item.config.stash[_STATE].session.given_up
    if given_up is not None:
        annotate(report, gave_up=True)
        item.session.shouldfail = given_up
    return report


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    if report.skipped and "exit_status" in notes_of(report):
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    state = session.config.stash.get(_STATE, None)
    if state is not None:
        state.close()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its workers
def pytest_sessionstart(session: pytest.Session) -> None:
    """Let labgrid hand out the phone of `--lease`; given back when pytest ends, however."""
    config = session.config
    state = config.stash[_STATE]
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        state.options = lease_place(config, state.options, state.console.say)


@pytest.fixture(name=_SESSION_FIXTURE)
def _harness_session(request: pytest.FixtureRequest) -> Session:
    """The session's devices, Runtimes, bundles and runs."""
    return request.config.stash[_STATE].session


@pytest.fixture
def add_row(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Give the test's line of the table at the end."""

    def add(row: Row) -> None:
        request.node.stash[_ROW] = row

    return add


def _check_socs(state: State, specs: Iterable[Spec]) -> None:
    soc, target = find_soc(str(state.options.soc)), state.options.target
    for spec in {spec.model: spec for spec in specs}.values():
        modes = [mode for mode in spec.modes if mode in state.selected_modes]
        try:
            check_recipe_for_soc(spec, soc, modes, target)
        except SpecError as err:
            raise pytest.UsageError(str(err)) from err


@pytest.fixture
def add_facts(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[Facts], None]:
    """Give what the journal and JUnit shall hold of the test."""

    def add(facts: Facts) -> None:
        request.node.stash[_FACTS] = facts
        for name, value in facts.properties().items():
            record_property(name, value)

    return add


def _facts_asked(item: pytest.Item) -> Facts | None:
    subject = subject_of(item)
    if subject is None:
        return None  # a product's test that is made from no spec
    options = item.config.stash[_STATE].options
    return Facts(context_asked(subject, options, case_of(item)), [])


def _is_conditional(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("demand", "asked"))


def _register_markers(config: pytest.Config, specs: Iterable[Spec]) -> None:
    """One marker per kind of check, family and model."""
    specs = tuple(specs)
    meanings = dict(_KINDS)
    meanings |= {spec.family: f"models of the family {spec.family}" for spec in specs}
    meanings |= {spec.model: f"the model of {spec.path.name}" for spec in specs}
    for name, meaning in meanings.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
