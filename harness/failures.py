"""What the runner's exit codes and its libraries' log lines mean.

The table is `failures.json` beside this module; the runner's own is made of the same file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FAILURES_PATH = Path(__file__).with_name("failures.json")
_SIGNALLED = 128  # exit codes above it: killed by a signal


@dataclass(frozen=True)
class ExitCode:
    """A way in which the runner ends. `hint` says what to do about it."""

    code: int
    name: str
    meaning: str
    hint: str


@dataclass(frozen=True)
class Signature:
    """A line of a library's log that tells what went wrong: it holds all `parts`."""

    name: str
    exit_code: str
    parts: tuple[str, ...]
    explanation: str


@cache
def exit_codes() -> Mapping[str, ExitCode]:
    """All exit codes by name."""
    rows = json.loads(FAILURES_PATH.read_text(encoding="utf-8"))["exit_codes"]
    return {row["name"]: ExitCode(**row) for row in rows}


@cache
def signatures() -> tuple[Signature, ...]:
    """Known lines, from causes to consequences: of several in a log the first counts."""
    rows = json.loads(FAILURES_PATH.read_text(encoding="utf-8"))["signatures"]
    return tuple(Signature(**{**row, "parts": tuple(row["parts"])}) for row in rows)


def find_signature(log: str) -> Signature | None:
    """The gravest known failure that a log tells."""
    lines = log.splitlines()
    for signature in signatures():
        if any(all(part in line for part in signature.parts) for line in lines):
            return signature
    return None


def explain_exit(exit_code: int, log: str) -> str | None:
    """One sentence on how a runner ended, from its exit code and its log; None for a good end.

    A line that the table knows says more than the exit code, which may be another runner's.
    """
    if exit_code == 0:
        return None
    known = find_signature(log)
    if known is not None:
        return f"{known.explanation} ({known.exit_code})"
    if exit_code > _SIGNALLED:
        return f"killed by signal {signal_name(exit_code - _SIGNALLED)}"
    row = next((row for row in exit_codes().values() if row.code == exit_code), None)
    return None if row is None else f"{row.meaning} ({row.name})"


def hint_for(exit_code: int, log: str) -> str | None:
    """What to do about a runner that ended so; None where the table has no advice."""
    known = find_signature(log)
    if known is not None:
        return exit_codes()[known.exit_code].hint
    row = next((row for row in exit_codes().values() if row.code == exit_code), None)
    return None if row is None else row.hint or None


def signal_name(number: int) -> str:
    """ "11 (SIGSEGV)", or the bare number of one that this system does not know."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
