"""Reading, checking and describing Runtime folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from harness.cache import file_sha256, write_whole
from harness.errors import RuntimeFolderError

RUNTIME_FILE = "runtime.json"
SCHEMA_VERSION = 1
_HINT = "make it anew: python -m harness runtime --abi x86_64 --out DIR"
_KEYS = frozenset(
    {
        "schema_version",
        "abi",
        "htp_archs",
        "qnn_version",
        "executorch_version",
        "runner_source_sha256",
        "files",
        "executable",
    }
)


@dataclass(frozen=True)
class FileEntry:
    """One file of a Runtime folder, as runtime.json describes it."""

    sha256: str  # lower-case hex
    size_bytes: int


@dataclass(frozen=True)
class Runtime:
    """A Runtime folder.

    `htp_archs` are the HTP archs (73, 79, ...) its libraries serve; None means all, which
    only Qualcomm's x86 simulator does, and an empty tuple that it runs CPU PTEs only. `files`
    maps names in `dir` to their description.
    """

    dir: Path
    abi: str
    htp_archs: tuple[int, ...] | None
    qnn_version: str | None
    executorch_version: str
    runner_source_sha256: str
    files: Mapping[str, FileEntry]
    executable: str

    def path_of(self, name: str) -> Path:
        """Where the file `name` of this Runtime lies on the host."""
        return self.dir / name


def load_runtime(folder: Path) -> Runtime:
    """Read a Runtime folder; every listed file must be there with its size.

    Raises:
        RuntimeFolderError: no folder, no or bad runtime.json, a file missing or cut short.
    """
    doing = f"reading the Runtime folder {folder}"
    try:
        text = (folder / RUNTIME_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise RuntimeFolderError(
            doing, f"cannot read {RUNTIME_FILE} ({reason})", hint=_HINT
        ) from err
    try:
        runtime = _parse(folder, json.loads(text))
    except ValueError as err:
        raise RuntimeFolderError(doing, f"{RUNTIME_FILE}: {err}", hint=_HINT) from err
    for name, entry in runtime.files.items():
        _check_size(doing, folder / name, entry)
    return runtime


def describe_file(path: Path) -> FileEntry:
    """The entry of a file that exists."""
    return FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)


def write_runtime(runtime: Runtime) -> None:
    """Write `runtime.json` into the Runtime's folder."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "abi": runtime.abi,
        "htp_archs": None if runtime.htp_archs is None else list(runtime.htp_archs),
        "qnn_version": runtime.qnn_version,
        "executorch_version": runtime.executorch_version,
        "runner_source_sha256": runtime.runner_source_sha256,
        "files": {
            name: {"sha256": entry.sha256, "size_bytes": entry.size_bytes}
            for name, entry in sorted(runtime.files.items())
        },
        "executable": runtime.executable,
    }
    text = json.dumps(document, indent=2) + "\n"
    write_whole(runtime.dir / RUNTIME_FILE, text.encode("utf-8"))


def _check_size(doing: str, path: Path, entry: FileEntry) -> None:
    try:
        size = path.stat().st_size
    except OSError as err:
        raise RuntimeFolderError(
            doing, f"{path.name} is missing ({err.strerror})", hint=_HINT
        ) from err
    if size != entry.size_bytes:
        raise RuntimeFolderError(
            doing,
            f"{path.name} has {size} bytes",
            expected=f"{entry.size_bytes} bytes",
            hint=_HINT,
        )


def _parse(folder: Path, document: object) -> Runtime:
    """A Runtime out of parsed JSON; ValueError says what is wrong."""
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version must be {SCHEMA_VERSION}")
    if set(document) != _KEYS:
        odd = ", ".join(sorted(set(document) ^ _KEYS))
        raise ValueError(f"keys missing or unknown: {odd}")
    files = document["files"]
    if not isinstance(files, dict) or not files:
        raise ValueError("files must be a non-empty object")
    executable = _text(document, "executable")
    if executable not in files:
        raise ValueError(f"executable {executable!r} is not among its files")
    return Runtime(
        dir=folder,
        abi=_text(document, "abi"),
        htp_archs=_parse_archs(document["htp_archs"]),
        qnn_version=None if document["qnn_version"] is None else _text(document, "qnn_version"),
        executorch_version=_text(document, "executorch_version"),
        runner_source_sha256=_text(document, "runner_source_sha256"),
        files={_file_name(name): _parse_entry(name, entry) for name, entry in files.items()},
        executable=executable,
    )


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be a non-empty string")
    return value


def _parse_archs(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(arch) is int for arch in value):
        raise ValueError("htp_archs must be null or a list of integers")
    return tuple(value)


def _file_name(name: str) -> str:
    # The folder is flat on the device, and nothing may point out of it.
    if PurePath(name).name != name or name in {"", ".", ".."}:
        raise ValueError(f"file name {name!r} must be a plain name")
    return name


def _parse_entry(name: str, entry: object) -> FileEntry:
    if not isinstance(entry, dict) or set(entry) != {"sha256", "size_bytes"}:
        raise ValueError(f"files.{name} must have exactly sha256 and size_bytes")
    sha256, size = entry["sha256"], entry["size_bytes"]
    hex_digits = set("0123456789abcdef")
    if not isinstance(sha256, str) or len(sha256) != 64 or not set(sha256) <= hex_digits:
        raise ValueError(f"files.{name}.sha256 must be 64 lower-case hex digits")
    if type(size) is not int or size < 0:
        raise ValueError(f"files.{name}.size_bytes must be a whole number")
    return FileEntry(sha256=sha256, size_bytes=size)
