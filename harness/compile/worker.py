"""A compiler process: `python -m harness.compile.worker FOLDER LOG` does the job in a folder.

What it says to its parent is one JSON object a line on standard output, `{"stage": ...}`.
Everything that third parties print, from Python or from C++, goes to standard error, which
the parent points at the log file LOG.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from harness.compile.job import ERROR_NAME, JOB_NAME, PARENT_VARIABLE, PREPARE, read_job
from harness.errors import HarnessError

_PR_SET_PDEATHSIG = 1


def main(folder: Path, log: Path) -> int:
    """Do the job in `folder`; 0 if its result was written. `log` is our standard error."""
    _die_with_parent()
    tell = _open_stage_channel()
    tell("loading")
    try:
        _run(folder, log, tell)
    except HarnessError as err:
        traceback.print_exc()
        _write_error(folder, err.doing, err.problem, err.expected, err.hint)
        return 1
    except Exception as err:
        traceback.print_exc()
        _write_error(folder, "", f"{type(err).__name__}: {err}", None, None)
        return 1
    return 0


def _run(folder: Path, log: Path, tell: Callable[[str], None]) -> None:
    from models.errors import ModelError

    job = read_job(folder / JOB_NAME)
    try:
        if job.part == PREPARE:
            from harness.compile.prepare import prepare_cases

            prepare_cases(job, folder, tell)
        elif job.backend == "xnnpack":
            from harness.compile.xnnpack import build_cpu_component

            build_cpu_component(job, folder, tell)
        else:
            from harness.compile.components import build_component
            from harness.compile.hot_spots import collect, spare_waste

            def tell_and_collect(stage: str) -> None:
                tell(stage)
                collect()

            with spare_waste():
                build_component(job, folder, log, tell_and_collect)
    except ModelError as err:
        raise HarnessError(
            f"building {job.part} of {job.checkpoint}", err.problem, expected=err.expected
        ) from err


def _write_error(
    folder: Path, doing: str, problem: str, expected: str | None, hint: str | None
) -> None:
    error = {"doing": doing, "problem": problem, "expected": expected, "hint": hint}
    (folder / ERROR_NAME).write_text(json.dumps(error), encoding="utf-8")


def _open_stage_channel() -> Callable[[str], None]:
    """Keep the parent's pipe for stages; point standard output at standard error."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(stage: str) -> None:
        print(json.dumps({"stage": stage}), file=pipe, flush=True)

    return tell


def _die_with_parent() -> None:
    """A compile without the parent that would publish it is of no use to anyone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ.get(PARENT_VARIABLE, os.getppid())):
            os._exit(1)  # it died before we asked to be told


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
