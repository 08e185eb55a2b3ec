"""The folder of a session: what its workers share and what a resumed one goes on with.

::

    <cache>/sessions/<what was asked>/<when>/
        lock        held while the session lives
        phones/     harness.bench.ledger
        runs/       harness.front.run_records
        evidence/   harness.bench.evidence
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from harness.cache import cache_root, make_cache_dir
from harness.errors import InputError
from harness.front.options import Options

KEPT = 5  # folders of earlier sessions, for their evidence


@dataclass(frozen=True)
class SessionFolder:
    """A session's folder; `lock` is None in a worker, whose controller holds it."""

    path: Path
    lock: filelock.BaseFileLock | None = None

    @property
    def phones(self) -> Path:
        return self.path / "phones"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    def close(self) -> None:
        """Let others resume it; a folder without anything in it is removed."""
        if self.lock is None:
            return
        if not any(self.path.glob("*/*")):
            shutil.rmtree(self.path, ignore_errors=True)
        self.lock.release()


def open_session_folder(
    options: Options, root_dir: Path, tell: Callable[[str], None]
) -> SessionFolder:
    """A new folder; with `--resume` that of the last session that was asked for the same.

    Raises InputError if that session is still running.
    """
    parent = make_cache_dir(cache_root() / "sessions" / _what_was_asked(options, root_dir))
    folders = sorted(path for path in parent.iterdir() if path.is_dir())
    if options.bench.resume and folders:
        return _resume(folders[-1], tell)
    if options.bench.resume:
        tell("--resume: there is no session like this one to go on with; this is the first")
    for old in folders[: max(0, len(folders) - KEPT)]:
        _remove(old)
    path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6:06}-{os.getpid()}"
    path.mkdir()
    lock = filelock.FileLock(path / "lock")
    lock.acquire(blocking=False)
    return SessionFolder(path, lock)


def _resume(path: Path, tell: Callable[[str], None]) -> SessionFolder:
    lock = filelock.FileLock(path / "lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as err:
        raise InputError(
            "resuming the last session",
            "it is still running",
            hint=f"wait for its end (it holds {path / 'lock'})",
        ) from err
    folder = SessionFolder(path, lock)
    done = len(list(folder.runs.glob("*.json")))
    tell(f"resuming the session of {path.name[:15]}: {done} runs are done already")
    return folder


def _remove(path: Path) -> None:
    lock = filelock.FileLock(path / "lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return  # it is alive
    shutil.rmtree(path, ignore_errors=True)
    lock.release()


def _what_was_asked(options: Options, root_dir: Path) -> str:
    """A name for sessions that would do the same runs on the same phones."""
    bench = options.bench
    asked = (
        root_dir,
        options.specs_dir,
        options.pre_gen_pte,
        options.runtime,
        options.soc,
        options.serials,
        [(str(phone), phone.soc) for phone in bench.phones or ()],
        sorted(bench.labels),
        bench.everything,
    )
    words = repr(asked)
    return hashlib.sha256(words.encode()).hexdigest()[:12]
