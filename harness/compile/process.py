"""Compiler processes: started side by side, watched, stopped together. Needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cache import locked, make_cache_dir, publish_dir
from harness.compile import durations
from harness.compile.job import ERROR_NAME, PARENT_VARIABLE, RESULT_NAME, Job, write_job
from harness.compile.stack import CompilerStack
from harness.errors import CompileError

# -P: a folder `models` where the user happens to stand must not hide ours.
WORKER_COMMAND = (sys.executable, "-P", "-m", "harness.compile.worker")


@dataclass(frozen=True)
class Stage:
    """Progress: a part has reached a stage. `log` is where its compilers' chatter goes.

    `expected_s` is what the whole part took the last time, None if that is not known.
    """

    part: str
    stage: str
    elapsed_s: float
    log: Path
    expected_s: float | None = None

    @property
    def timing(self) -> str:
        """ "12.3 s of about 90 s", or "12.3 s"."""
        over = self.expected_s is None or self.stage in ("done", "cached")
        return f"{self.elapsed_s:.1f} s" + ("" if over else f" of about {self.expected_s:.0f} s")


OnStage = Callable[[Stage], None]


class CompilerProcesses:
    """Runs jobs, each in a process of its own, each result kept under the job's key."""

    def __init__(
        self,
        stack: CompilerStack,
        cache_dir: Path,
        on_stage: OnStage,
        worker: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        self._worker = worker
        self._stack = stack
        self._cache_dir = cache_dir
        self._on_stage = on_stage
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._guard = threading.Lock()

    def run(self, jobs: Mapping[str, Job]) -> dict[str, Path]:
        """Folder of each job's result, by part.

        Raises:
            CompileError: of the first job that failed; the others are stopped.
        """
        # As many as there are cores, the longest first: a process more would take no time off
        # the whole, and hold the weights of one more model.
        workers = max(2, os.cpu_count() or 2)
        longest_first = sorted(jobs, key=lambda part: part != "text_decoder")
        with ThreadPoolExecutor(max_workers=workers) as pool:
            futures = {part: pool.submit(self._run_one, jobs[part]) for part in longest_first}
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            finally:
                # After a failure or Ctrl-C the others would go on for minutes.
                self._stop()
            for future in done:
                future.result()
            return {part: future.result() for part, future in futures.items()}

    def _run_one(self, job: Job) -> Path:
        started = time.monotonic()
        name = f"{job.part}-{job.key(dict(self._stack.versions))}"
        final = self._cache_dir / name
        # Not in the folder: that has another name when it is complete, and is gone if it fails.
        log = make_cache_dir(self._cache_dir / "logs") / f"{name}.log"

        expected_s = durations.expected_s(self._cache_dir, job)

        def tell(stage: str) -> None:
            elapsed_s = time.monotonic() - started
            self._on_stage(Stage(job.part, stage, elapsed_s, log, expected_s))

        with locked(final.with_suffix(".lock"), f"compiling {job.part}", tell, self._check):
            if (final / RESULT_NAME).is_file():
                tell("cached")
                return final
            with publish_dir(final) as folder:
                write_job(folder, job)
                began = time.monotonic()  # others may have held the lock for long
                self._compile(job, folder, log, tell)
                durations.remember(self._cache_dir, job, time.monotonic() - began)
        tell("done")
        return final

    def _compile(self, job: Job, folder: Path, log: Path, tell: Callable[[str], None]) -> None:
        with log.open("w", encoding="utf-8") as sink:
            process = self._start(folder, log, sink.fileno())
            assert process.stdout is not None
            for line in process.stdout:
                with suppress(ValueError, KeyError, TypeError):
                    tell(json.loads(line)["stage"])
            exit_code = process.wait()
        with self._guard:
            self._running.discard(process)
        if exit_code != 0:
            raise _failure(job, folder, log, exit_code)

    def _start(self, folder: Path, log: Path, sink: int) -> subprocess.Popen[str]:
        with self._guard:
            self._check()
            process = subprocess.Popen(
                [*self._worker, str(folder), str(log)],
                env={**self._stack.environment(), PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
            self._running.add(process)
        return process

    def _check(self) -> None:
        """Raise if waiting or starting makes no sense any more."""
        if self._stopping:
            raise CompileError("compiling", "stopped because another component failed")

    def _stop(self) -> None:
        with self._guard:
            self._stopping = True
            for process in self._running:
                process.kill()


def _failure(job: Job, folder: Path, log: Path, exit_code: int) -> CompileError:
    """The error of a failed job, in the words of its process if it left any."""
    doing = f"compiling {job.part} of {job.checkpoint} for {job.target_name}"
    with suppress(OSError, ValueError):
        error = json.loads((folder / ERROR_NAME).read_text(encoding="utf-8"))
        where = f"{error['doing']}: " if error["doing"] else ""
        return CompileError(
            doing,
            where + error["problem"],
            expected=error["expected"],
            hint=error["hint"],
            log=log,
        )
    cause = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    hint = "not enough memory?" if exit_code == -9 else None
    return CompileError(doing, f"the compiler process ended with {cause}", hint=hint, log=log)
