"""Comparing a bundle's files with its manifest.

Hashing a gigabyte on every rerun would cost more than the rerun. So a hash is remembered,
outside the bundle, together with the file's size, times and inode; whatever changes the
file changes one of those.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.cache import cache_root, file_sha256, write_whole
from harness.errors import BundleCorrupt, BundleMismatch, InputError
from harness.manifest import Manifest

Verify = Literal["cached", "full"]

# A file changed within this time of being hashed could change again and keep its time
# stamp (their step is some milliseconds on common file systems, 2 s on FAT).
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Verification:
    """How the files were compared: hashed now, or unchanged since an earlier hashing."""

    hashed_files: int
    remembered_files: int
    total_bytes: int

    def __str__(self) -> str:
        size = f"{self.total_bytes / 1e6:.1f} MB"
        if not self.remembered_files:
            return f"{self.hashed_files} files ({size}) hashed"
        return (
            f"{self.hashed_files} files hashed, {self.remembered_files} unchanged since "
            f"they were hashed ({size} in all)"
        )


def verify_files(folder: Path, manifest: Manifest, verify: Verify) -> Verification:
    """Compare every file of a bundle with its manifest, the cheap properties first.

    Raises: BundleMismatch if PTEs lie there that the manifest does not know; BundleCorrupt
    naming the first file that is missing, of another size or sha256, or a link to outside.
    """
    _check_strangers(folder, manifest)
    _check_sizes(folder, manifest)
    return _check_hashes(folder, manifest, verify)


def _check_strangers(folder: Path, manifest: Manifest) -> None:
    """A PTE the manifest does not know means that two models share the folder."""
    strangers = sorted(
        name
        for path in folder.rglob("*.pte")
        if (name := path.relative_to(folder).as_posix()) not in manifest.files
    )
    if strangers:
        raise BundleMismatch(
            f"reading the bundle {folder}",
            f"it also holds PTEs of something else: {', '.join(strangers)}",
            expected="one model in one folder",
            hint="move each model to a folder of its own",
        )


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    """Existence, place and size of every file: cheap, and names a truncated one at once."""
    inside = folder.resolve()
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(folder, f"{name} is missing", f"{entry.size_bytes} bytes")
        if not path.resolve().is_relative_to(inside):
            raise _corrupt(
                folder, f"{name} is a link to {path.resolve()}", "files inside the bundle"
            )
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            what = "truncated" if size_bytes < entry.size_bytes else "too long"
            raise _corrupt(
                folder,
                f"{name} is {what}: {size_bytes} bytes",
                f"{entry.size_bytes} bytes, as the manifest says",
            )


def _check_hashes(folder: Path, manifest: Manifest, verify: Verify) -> Verification:
    memory_path = _memory_path(folder)
    memory = _read_memory(memory_path) if verify == "cached" else {}
    hashed = 0
    now: dict[str, list[str]] = {}
    for name, entry in manifest.files.items():
        path = folder / name
        mark = _mark(path.stat())
        known = memory.get(name)
        if known is not None and known[0] == mark:
            sha256 = known[1]
        else:
            sha256 = file_sha256(path)
            hashed += 1
        if sha256 != entry.sha256:
            raise _corrupt(folder, f"{name} has sha256 {sha256}", f"sha256 {entry.sha256}")
        if _is_settled(path.stat(), mark):
            now[name] = [mark, sha256]
    if hashed:
        _write_memory(memory_path, now)
    total_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    return Verification(hashed, len(manifest.files) - hashed, total_bytes)


def _mark(status: os.stat_result) -> str:
    """Changes whenever a file's content does; the inode change time cannot be set back."""
    parts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    return "-".join(str(part) for part in parts)


def _is_settled(status: os.stat_result, mark: str) -> bool:
    return _mark(status) == mark and status.st_ctime_ns + _SETTLED_NS < time.time_ns()


def _memory_path(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    return cache_root() / "verified" / f"{name}.json"


def _read_memory(path: Path) -> dict[str, list[str]]:
    """File name -> [mark, sha256]. Anything unreadable counts as no memory."""
    try:
        memory = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(memory, dict):
        return {}
    return {
        name: known for name, known in memory.items() if isinstance(known, list) and len(known) == 2
    }


def _write_memory(path: Path, memory: dict[str, list[str]]) -> None:
    # A cache that cannot be written costs time, no more.
    with suppress(OSError, InputError):
        write_whole(path, json.dumps(memory).encode())


def _corrupt(folder: Path, problem: str, expected: str) -> BundleCorrupt:
    return BundleCorrupt(
        f"verifying the bundle {folder}",
        problem,
        expected=expected,
        hint="copy or compile the bundle again",
    )
