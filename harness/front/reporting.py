"""What is told at the end of a session, and its exit status.

Registered in the process that prints: under pytest-xdist the controller, which learns of
tests by their reports alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.bench.ledger import Record
from harness.front.bench_summary import bench_lines
from harness.front.console import SAID_KEY, Console
from harness.front.outcomes import Tally, notes_of, shorten_repeats
from harness.front.table import Row, render_table


class Reporting:
    """Collects from reports what the end of the session needs."""

    def __init__(
        self,
        config: pytest.Config,
        console: Console,
        bench_records: Callable[[], Mapping[str, Record]],
    ) -> None:
        self._config = config
        self._console = console
        self._bench_records = bench_records
        self._tally = Tally()
        self._rows: list[Row] = []
        self._said: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hook: one phase of a test has ended."""
        self._tally.count(report)
        row = notes_of(report).get("row")
        if row is not None:
            self._rows.append(Row(**row))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hook of pytest-xdist: say what a worker could not, each line once."""
        for line in getattr(node, "workeroutput", {}).get(SAID_KEY, []):
            if line not in self._said:
                self._said.add(line)
                self._console.say(line)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Hook: set the exit status; tell each message in full only once."""
        session.exitstatus = self._tally.exit_status(exitstatus)
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            shorten_repeats(reporter.stats.get("error", []))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Hook: print the table.

        pytest has told the errors by now and next repeats them in its short summary, which
        under CI it does not cut: there the first line is enough.
        """
        for report in terminalreporter.stats.get("error", []):
            if isinstance(report.longrepr, str) and "exit_status" in notes_of(report):
                report.longrepr = report.longrepr.partition("\n")[0]
        bench = bench_lines(self._bench_records())
        if bench:
            terminalreporter.section("bench")
            for line in bench:
                terminalreporter.write_line(line)
        if self._rows:
            terminalreporter.section("device results")
            for line in render_table(self._rows):
                terminalreporter.write_line(line)
