"""With pytest-xdist: how many workers, who gets which test, and what a dead worker leaves.

A worker has no phone of its own: each run leases whichever is free. A worker that dies is
trouble of the bench: its test is given to another one, and only after that an error.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

# JUnit's own collection has no public name.
from _pytest.junitxml import xml_key

from harness.errors import EXIT_INFRA
from harness.front.outcomes import annotate
from harness.front.places import PLACE_KEY, phone_for_workers
from harness.front.state import FOLDER_KEY, State


class Workers:
    """Hooks of the process that prints; all are pytest-xdist's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._crashes: Counter[str] = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Whoever is idle takes over what others have not begun; `load` would not."""
        if config.getoption("dist") != "load":
            return None
        from xdist.scheduler import WorkStealingScheduling

        return WorkStealingScheduling(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the session's folder is, and which phone labgrid gave us."""
        node.workerinput[FOLDER_KEY] = str(self._state.folder.path)
        node.workerinput[PLACE_KEY] = phone_for_workers(node.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take out of JUnit what is left of tests that a dead worker had begun."""
        junit = session.config.stash.get(xml_key, None)
        if junit is not None and self._crashes:
            reporters = junit.node_reporters_ordered
            whole = [item for item in reporters if item.to_xml().get("name")]
            junit.node_reporters_ordered[:] = whole

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """A worker died in a test: another one runs it, or it is an error of the bench."""
        self._crashes[crashitem] += 1
        if self._crashes[crashitem] <= self._state.options.bench.retries:
            sched.mark_test_pending(crashitem)
            report.outcome = "rerun"  # type: ignore[assignment]
            return
        # As of a fixture: pytest then counts it as an error, not as a failed test.
        report.when = "setup"
        report.longrepr = (
            f"{report.longrepr}: {self._crashes[crashitem]} times\n"
            "  hint:     out of memory? dmesg and the log of this computer may say"
        )
        annotate(report, exit_status=EXIT_INFRA)
