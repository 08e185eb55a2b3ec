"""The pytest plugin: hooks and fixtures, each a call into the harness."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.front.console import Console
from harness.front.options import Options, add_options, read_options
from harness.front.outcomes import Tally, describe_error
from harness.front.phones import wanted_serials
from harness.front.rootdir import restart_if_misled
from harness.front.session import Session, Subject
from harness.front.table import Row, render_table
from harness.manifest import MANIFEST_NAME, parse_manifest
from harness.socs import specs_dir
from harness.spec import load_specs

_KINDS = {
    "accuracy": "the reply to a case holds what it should",
    "perf": "rates against the floors of the SoC",
    "size": "PTE sizes against their ceilings",
}
_STATE = pytest.StashKey["State"]()


class State:
    """What the hooks of one pytest process share."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options: Options = read_options(config)
        self.specs = load_specs(self.options.specs_dir or specs_dir())
        self.console = Console(config)
        self.tally = Tally()
        self.rows: list[Row] = []
        self.seen_errors: set[int] = set()
        self.selected_modes: set[Any] = set()

    @cached_property
    def session(self) -> Session:
        """Made when the first test needs it, when the modes of all tests are known."""
        return Session(self.options, self.console, frozenset(self.selected_modes))

    def close(self) -> None:
        """End the session if there was one."""
        if "session" in self.__dict__:
            self.session.close()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    config = pluginmanager.get_plugin("pytestconfig")
    if isinstance(config, pytest.Config):
        restart_if_misled(config)
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[_STATE] = State(config)
    except HarnessError as err:
        raise pytest.UsageError(f"\n{err}") from err
    for name, meaning in _KINDS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    specs = config.stash[_STATE].specs.values()
    for family in sorted({spec.family for spec in specs}):
        config.addinivalue_line("markers", f"{family}: models of the family {family}")
    for spec in specs:
        config.addinivalue_line("markers", f"{spec.model}: the model of {spec.path.name}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise over device x spec x mode x case, as far as a test asks for them."""
    if "subject" not in metafunc.fixturenames:
        return
    state = metafunc.config.stash[_STATE]
    per_case = "case" in metafunc.fixturenames
    serials = wanted_serials(state.options)
    params = []
    for spec in state.specs.values():
        marks = [getattr(pytest.mark, spec.family), getattr(pytest.mark, spec.model)]
        for mode in spec.modes:
            if state.options.modes and mode not in state.options.modes:
                continue
            for serial in serials:
                subject = Subject(spec, mode, serial)
                place = f"@{serial}" if len(serials) > 1 else ""
                name = f"{spec.model}-{mode}{place}"
                if not per_case:
                    params.append(pytest.param(subject, id=name, marks=marks))
                    continue
                params += [
                    pytest.param(subject, case, id=f"{name}-{case.name}", marks=marks)
                    for case in spec.cases.values()
                ]
    metafunc.parametrize(["subject", "case"] if per_case else ["subject"], params)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the modes that will run; leave out models that a single given bundle is not."""
    state = config.stash[_STATE]
    _keep_model_of_given_bundle(config, items)
    for item in items:
        subject = _subject_of(item)
        if subject is not None:
            state.selected_modes.add(subject.mode)


def _keep_model_of_given_bundle(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--pre-gen-pte BUNDLE` the bundle says which of the selected models is meant.

    If it is none of them, nothing is left out: the tests then say that it does not fit.
    """
    state = config.stash[_STATE]
    given = state.options.pre_gen_pte
    path = Path(given or "") / MANIFEST_NAME
    if given is None or not path.is_file():
        return
    try:
        model = parse_manifest(path.read_bytes(), path).model
    except HarnessError:
        return  # the tests that load it will say what is wrong
    subjects = [(item, _subject_of(item)) for item in items]
    other = [item for item, subject in subjects if subject and subject.spec.model != model]
    if not other or not any(s and s.spec.model == model for _, s in subjects):
        return
    state.console.say(
        f"{given} is a bundle of {model}: {len(other)} tests of other models left out"
    )
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]


def _subject_of(item: pytest.Item) -> Subject | None:
    call = getattr(item, "callspec", None)
    subject = call.params.get("subject") if call is not None else None
    return subject if isinstance(subject, Subject) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An error of the harness is told in its own words, without a Python traceback."""
    report = yield
    state = item.config.stash[_STATE]
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, HarnessError):
        state.tally.count(error)
        report.longrepr = describe_error(error, state.seen_errors)
        report.user_properties.append(("failure.class", error.kind))
    elif report.failed:
        state.tally.failed = True
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    state = session.config.stash.get(_STATE, None)
    if state is not None:
        session.exitstatus = state.tally.exit_status(exitstatus)
        state.close()


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    rows = config.stash[_STATE].rows
    if rows:
        terminalreporter.section("device results")
        for line in render_table(rows):
            terminalreporter.write_line(line)


@pytest.fixture
def harness_session(request: pytest.FixtureRequest) -> Session:
    """The session's devices, Runtimes, bundles and runs."""
    return request.config.stash[_STATE].session


@pytest.fixture
def add_row(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Put a line into the table at the end."""
    return request.config.stash[_STATE].rows.append
