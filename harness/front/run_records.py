"""Finished runs of a session, on disk: its workers share them, `--resume` goes on with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cache import locked, write_whole
from harness.foreign_runs import ForeignCaseRun
from harness.runs import CaseRun, RunRequest, request_json
from harness.runtime import Runtime

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class RecordedRun:
    """A run and the serial of the phone it was made on."""

    serial: str
    run: CaseRun | ForeignCaseRun


@dataclass(frozen=True)
class RunRecords:
    """The runs of one session by what was run; a failed one is not among them."""

    folder: Path

    def once(self, name: str, key: str, make: Callable[[], RecordedRun]) -> RecordedRun:
        """The finished run of that key, or a new one; no two processes make the same.

        Args:
            name: what is run, for a message.
            key: `run_key`.
            make: what gives it; its errors come through.
        """
        path = self.folder / f"{key}.json"
        found = self._read(path)
        if found is not None:
            return found
        with locked(self.folder / "locks" / key, f"running {name}"):
            found = self._read(path)
            if found is not None:
                return found
            made = make()
            write_whole(path, _adapter().dump_json(made))
            return made

    def _read(self, path: Path) -> RecordedRun | None:
        try:
            return _adapter().validate_json(path.read_bytes())
        except (OSError, ValueError):
            return None  # not there, or of another version of the harness


def run_key(place: str, runtime: Runtime, request: RunRequest) -> str:
    """What makes two runs the same: where, with which files, which request."""
    parts = {
        "place": place,
        "request": request_json(request).decode(),
        "timeout_s": request.timeout_s,
        "bundle": {name: entry.sha256 for name, entry in request.bundle.manifest.files.items()},
        "runtime": {name: entry.sha256 for name, entry in runtime.files.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _adapter() -> TypeAdapter[RecordedRun]:
    from pydantic import TypeAdapter

    return TypeAdapter(RecordedRun)
