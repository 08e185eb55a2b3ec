"""What the user sees while something long is under way.

On a terminal each compile stage is a line with its elapsed time and a push has a progress
bar; elsewhere there is one line at the beginning and one at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.compile import Stage

OnPush = Callable[[int, int], None]
# Where a worker of pytest-xdist leaves for its controller what it could not say itself.
SAID_KEY = "vlm_device_harness_said"
_PATIENCE_S = 0.5
_REFRESH_S = 0.1


class Console:
    """Writes to the terminal past pytest's capturing; safe from several threads."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._guard = threading.Lock()
        self._fresh = True

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches."""
        return self._reporter is not None and bool(self._reporter.isatty)

    def say(self, sentence: str) -> None:
        """Print one line of its own; a worker of pytest-xdist has its controller do so."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output.setdefault(SAID_KEY, []).append(sentence)
        if output is not None or self._reporter is None:
            return
        with self._guard, self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(sentence)

    @contextmanager
    def compile_progress(self, what: str) -> Iterator[Callable[[Stage], None]]:
        """Tell of a compile, stage by stage."""
        started = time.monotonic()
        told: set[Path] = set()

        def on_stage(stage: Stage) -> None:
            if stage.log.parent not in told:
                told.add(stage.log.parent)
                self.say(f"  the compilers' own output goes to {stage.log.parent}")
            if self.is_terminal:
                self.say(f"  {stage.part:<15} {stage.stage:<26} {stage.timing}")

        self.say(f"compiling {what}")
        yield on_stage
        elapsed_s = time.monotonic() - started
        self.say(f"compiled {what} in {elapsed_s:.1f} s" if told else f"{what} is in the cache")

    @contextmanager
    def push_progress(self, serial: str) -> Iterator[OnPush | None]:
        """A bar with rate and time left while files are sent, on a terminal only."""
        reporter = self._reporter
        if reporter is None or not self.is_terminal:
            yield None
            return
        bar: PushBar | None = None
        told_s = time.monotonic() + _PATIENCE_S

        def on_push(done_bytes: int, total_bytes: int) -> None:
            nonlocal bar, told_s
            # A push that is over at once would only make the terminal flicker.
            if time.monotonic() < told_s:
                return
            told_s = time.monotonic() + _REFRESH_S
            with self._uncaptured():
                if bar is None:
                    reporter.ensure_newline()
                    bar = PushBar(serial, total_bytes)
                bar.show(done_bytes)

        try:
            yield on_push
        finally:
            if bar is not None:
                with self._uncaptured():
                    bar.remove()

    def _uncaptured(self) -> AbstractContextManager[None]:
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            return nullcontext()
        context: AbstractContextManager[None] = capture.global_and_fixture_disabled()
        return context


class PushBar:
    """The bar. It draws only when it is told to: in between, pytest has the terminal."""

    def __init__(self, serial: str, total_bytes: int) -> None:
        from rich import console, progress

        self._progress = progress.Progress(
            f"  pushing to {serial}",
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=console.Console(),  # made now, while stdout is the terminal
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.start()
        self._task = self._progress.add_task("push", total=total_bytes)

    def show(self, done_bytes: int) -> None:
        """Draw it."""
        self._progress.update(self._task, completed=done_bytes, refresh=True)

    def remove(self) -> None:
        """Take it off the terminal."""
        self._progress.stop()
