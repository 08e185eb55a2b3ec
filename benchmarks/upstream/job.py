"""What upstream's path is asked for, and the process that does it. Needs no torch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.compile.stack import find_compiler_stack

JOB_NAME, RESULT_NAME, LOG_NAME, PTE_DIR_NAME = "job.json", "result.json", "log.txt", "ptes"


@dataclass(frozen=True)
class Question:
    """A picture and what is asked about it."""

    name: str
    image: str
    prompt: str
    max_new_tokens: int


@dataclass(frozen=True)
class UpstreamJob:
    """One run of upstream's path, hybrid mode.

    `checkpoint` is a folder as transformers writes it. `simulator` leaves out weight sharing and
    shared buffers, which the x86 libraries refuse. `questions` are answered by the converted
    graphs in PyTorch, after the PTEs were written.
    """

    checkpoint: str
    soc: str
    simulator: bool
    max_seq_len: int
    prefill_ar_len: int
    calibration: Sequence[Question]
    questions: Sequence[Question] = ()


@dataclass(frozen=True)
class UpstreamRun:
    """The folder with the three PTEs, what the process reported, and its time from start to end."""

    pte_dir: Path
    result: dict[str, Any]
    wall_s: float
    cpu_s: float


class UpstreamFailed(Exception):
    """The process ended with an error; the message is the end of its log."""


def run_upstream(job: UpstreamJob, folder: Path, timeout_s: float = 3600) -> UpstreamRun:
    """Write the three PTEs into a folder below `folder`.

    The process has the environment of our own compilers: the same libraries, one thread.

    Raises:
        UpstreamFailed: with the last lines of its log.
    """
    (folder / JOB_NAME).write_text(json.dumps(asdict(job)), encoding="utf-8")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / LOG_NAME).open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "benchmarks.upstream", str(folder)],
            env=find_compiler_stack().environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=timeout_s,
        )
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        lines = (folder / LOG_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
        raise UpstreamFailed("\n".join([f"exit status {done.returncode}", *lines[-15:]]))
    return UpstreamRun(
        pte_dir=folder / PTE_DIR_NAME,
        result=json.loads((folder / RESULT_NAME).read_text(encoding="utf-8")),
        wall_s=wall_s,
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def read_job(folder: Path) -> UpstreamJob:
    """The job that `run_upstream` wrote."""
    stored = json.loads((folder / JOB_NAME).read_text(encoding="utf-8"))
    for name in ("calibration", "questions"):
        stored[name] = [Question(**question) for question in stored[name]]
    return UpstreamJob(**stored)
