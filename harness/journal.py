"""The journal: one JSON line per test of a session, appended and never changed.

A line says what was run and where, every raw sample, the bounds it was held against, and
the verdicts. Of the environment only what `Record` names gets in, and what looks like a
secret of it is blotted out of every text.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

JOURNAL_SCHEMA_VERSION = 1
JOURNAL_NAME = "journal.jsonl"
RecordOutcome = Literal["pass", "fail", "inconclusive", "skip", "infra", "compile", "spec", "error"]
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE", re.IGNORECASE)
_SHORTEST_SECRET = 6  # blotting out shorter values would spoil ordinary words


@dataclass(frozen=True)
class Context:
    """What was run and where. None or empty: not known, because the test ended before."""

    model: str | None = None
    mode: str | None = None
    case: str | None = None
    backend: str | None = None
    soc: str | None = None
    serial: str | None = None
    simulated: bool | None = None
    android_build: str | None = None
    checkpoint: Mapping[str, str | None] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)  # component -> recipe
    max_seq_len: int | None = None
    target: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    files_sha256: Mapping[str, str] = field(default_factory=dict)  # PTE -> sha256


@dataclass(frozen=True)
class SampleRecord:
    """One repeat, with what the phone said of itself before and after."""

    metrics: Mapping[str, float | None]
    throttled: bool = False
    readings: Mapping[str, Any] = field(default_factory=dict)
    side: str | None = None


@dataclass(frozen=True)
class VerdictRecord:
    """One judgement; `details` hold bound and estimate."""

    outcome: str
    kind: str
    sentence: str
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One line. `at` is UTC, ISO 8601; `run_id` is the session's."""

    schema_version: Literal[1]
    run_id: str
    at: str
    git_commit: str | None
    harness_version: str
    test: str
    outcome: RecordOutcome
    failure_class: str | None
    message: str
    duration_s: float
    context: Context = field(default_factory=Context)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    samples: Sequence[SampleRecord] = ()
    verdicts: Sequence[VerdictRecord] = ()


def append_record(path: Path, record: Record) -> None:
    """Write one line, whole, whoever else writes.

    Raises:
        InputError: the file cannot be written.
    """
    line = json.dumps(asdict(record), default=str, separators=(",", ":"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(blot_out_secrets(line, os.environ) + "\n")
    except OSError as err:
        raise InputError(f"writing the journal {path}", str(err.strerror)) from err


def read_journal(path: Path) -> Iterator[Record]:
    """The records of a journal in the order they were written.

    A line cut off at the end, by a full disk or a power cut, is passed over.

    Raises:
        InputError: the file cannot be read, or a line is none of ours.
    """
    doing = f"reading the journal {path}"
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeError) as err:
        raise InputError(doing, str(err), hint="a session writes one: --journal FILE") from err
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("\n"):
            return
        try:
            yield _adapter().validate_json(line)
        except ValueError as err:
            problem = str(err).partition("\n")[0]
            raise InputError(
                doing,
                f"line {number} is no record: {problem}",
                expected=f"lines of schema_version {JOURNAL_SCHEMA_VERSION}",
            ) from err


def journal_schema() -> str:
    """The JSON Schema of a line, as text."""
    schema = _adapter().json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def blot_out_secrets(text: str, environ: Mapping[str, str]) -> str:
    """The text without the values of variables whose names speak of secrets."""
    for name, value in environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return text


@cache
def git_commit(folder: Path) -> str | None:
    """The commit of the project, with "-dirty" if files differ from it; None without git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None


@cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import TypeAdapter

    return TypeAdapter(Record)
