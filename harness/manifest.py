"""`manifest.json`: what a bundle is, file by file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.cache import file_sha256, write_whole
from harness.errors import BundleCorrupt
from harness.vocabulary import COMPONENTS, Backend, Lookahead, Mode, Target

MANIFEST_NAME = "manifest.json"
MANIFEST_SCHEMA_VERSION = 2
ANY_SOC = "any"
"""The SoC of a bundle for the CPU; its HTP arch is 0."""
TOKENIZER_NAME = "tokenizer.json"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMAKE = "compile the bundle anew, or copy it again"
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True)
class FileEntry:
    """What a file must be: sha256 in lower-case hex and size."""

    __pydantic_config__ = _STRICT

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class MethodFacts:
    """One method of a PTE: delegate calls, and DRAM traffic per inference if it is known.

    `ar_len` is its width in tokens; None for a vision encoder.
    """

    __pydantic_config__ = _STRICT

    ar_len: int | None
    delegate_calls: int
    dram_read_bytes: int | None
    dram_write_bytes: int | None


@dataclass(frozen=True)
class Component:
    """One PTE. `sqnr_db` compares it on the simulator with the float module.

    `recipe` is `harness.spec.ComponentRecipe.as_dict()`; `layers` and `parameters` are those of
    the float module, `stage_s` the seconds of each stage of its making.
    """

    __pydantic_config__ = _STRICT

    file: str
    backend: Backend
    recipe: Mapping[str, Any]
    methods: Mapping[str, MethodFacts]
    sqnr_db: float | None
    compile_s: float | None
    layers: int | None = None
    parameters: int | None = None
    stage_s: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Where the weights came from; `sha256` is over the weight files."""

    __pydantic_config__ = _STRICT

    source: str
    revision: str | None
    sha256: str


@dataclass(frozen=True)
class ImageInput:
    """A prepared picture: raw float32 in `path` (inside the bundle), shape (1, 3, H, W)."""

    __pydantic_config__ = _STRICT

    path: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TurnInputs:
    """What one turn of a conversation gives the runner, and the float model's greedy reply.

    Of a later turn `prompt_text` and `prompt_token_ids` are what follows the stop token of the
    reply before. `images` has one entry per tile.
    """

    __pydantic_config__ = _STRICT

    prompt_text: str
    prompt_token_ids: tuple[int, ...]
    images: tuple[ImageInput, ...]
    reference_token_ids: tuple[int, ...] | None
    reference_text: str | None


@dataclass(frozen=True)
class CaseInputs:
    """The prepared inputs of one case: a conversation of one turn or more.

    `inputs_sha256` is `harness.spec.Case.inputs_sha256` at the time of preparation.
    `reference_path` is a file inside the bundle, see `harness.references`.
    """

    __pydantic_config__ = _STRICT

    inputs_sha256: str
    turns: tuple[TurnInputs, ...]
    reference_path: str | None

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """The tiles of all turns."""
        return tuple(image for turn in self.turns for image in turn.images)

    @property
    def reference_token_ids(self) -> tuple[int, ...] | None:
        """The float model's reply to the last turn, which is the one that is judged."""
        return self.turns[-1].reference_token_ids

    @property
    def reference_text(self) -> str | None:
        """The text of `reference_token_ids`."""
        return self.turns[-1].reference_text


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says. Keys of `files` are relative POSIX paths.

    `backend` is that of all components. Graphs are built for `max_context_len` positions, of
    which one request may use `max_seq_len`. `lookahead` is set in bundles of that mode.
    """

    __pydantic_config__ = _STRICT

    harness_version: str
    model: str
    family: str
    checkpoint: Checkpoint
    soc: str
    htp_arch: int
    backend: Backend
    target: Target
    mode: Mode
    serves_modes: tuple[Mode, ...]
    max_seq_len: int
    max_context_len: int
    prefill_ar_len: int
    lookahead: Lookahead | None
    versions: Mapping[str, str | None]
    components: Mapping[str, Component]
    files: Mapping[str, FileEntry]
    image_token_id: int
    stop_token_ids: tuple[int, ...]
    cases: Mapping[str, CaseInputs]
    schema_version: int = MANIFEST_SCHEMA_VERSION


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """Read a manifest strictly: unknown keys and wrong types are errors.

    Args:
        data: the file's bytes.
        path: where they came from, for messages.

    Raises:
        BundleCorrupt: not JSON, another schema, or contradicting itself.
    """
    doing = f"reading {path}"
    try:
        version = json.loads(data).get("schema_version")
    except (ValueError, AttributeError, RecursionError) as err:
        raise BundleCorrupt(doing, "not a JSON object", hint=_REMAKE) from err
    if version != MANIFEST_SCHEMA_VERSION:
        raise BundleCorrupt(
            doing,
            f"schema_version is {version!r}",
            expected=str(MANIFEST_SCHEMA_VERSION),
            hint="compile the bundle with this version of the harness",
        )
    try:
        manifest = _manifest_adapter().validate_json(data)
    except ValidationError as err:
        raise BundleCorrupt(doing, _first_problem(err), hint=_REMAKE) from err
    problem = _contradiction(manifest)
    if problem is not None:
        raise BundleCorrupt(doing, problem, hint=_REMAKE)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest.json` whole; returns its path. BundleCorrupt if it contradicts itself."""
    path = folder / MANIFEST_NAME
    data = (json.dumps(asdict(manifest), indent=2) + "\n").encode()
    parse_manifest(data, path)
    write_whole(path, data)
    return path


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Size and sha256 of every file below `folder` but the manifest, by relative POSIX path."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            entries[name] = FileEntry(file_sha256(path), path.stat().st_size)
    return entries


def is_inside_name(name: str) -> bool:
    """Whether a relative POSIX path stays below the folder it is relative to."""
    if not name or "\\" in name or any(ord(char) < 32 for char in name):
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name != "."


@cache
def _manifest_adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    return f"{where}: {first['msg']}" + (f" (and {more} more problems)" if more else "")


def _contradiction(manifest: Manifest) -> str | None:
    """The first thing in a well-typed manifest that cannot be."""
    missing = [name for name in COMPONENTS if name not in manifest.components]
    if missing:
        return f"components: {', '.join(missing)} missing"
    if manifest.mode not in manifest.serves_modes:
        return f"serves_modes: {manifest.mode!r}, the bundle's own mode, is missing"
    if manifest.max_seq_len > manifest.max_context_len:
        return f"max_seq_len: {manifest.max_seq_len} is above max_context_len"
    if (manifest.lookahead is None) == (manifest.mode == "lookahead"):
        return "lookahead: set in another mode, or missing in this one"
    for name, entry in manifest.files.items():
        if not is_inside_name(name):
            return f"files: {name!r} is not a path inside the bundle"
        if not _SHA256.fullmatch(entry.sha256):
            return f"files.{name}.sha256: {entry.sha256!r} is not a sha256"
    silent = [name for name, case in manifest.cases.items() if not case.turns]
    if silent:
        return f"cases.{silent[0]}.turns is empty"
    return _unlisted(manifest)


def _unlisted(manifest: Manifest) -> str | None:
    for owner, name in _named_files(manifest):
        if name not in manifest.files:
            return f"{owner}: {name!r} is not listed under files"
    return None


def _named_files(manifest: Manifest) -> list[tuple[str, str]]:
    """Every file that some part of the manifest relies on, with the part."""
    named = [(f"components.{name}", part.file) for name, part in manifest.components.items()]
    named.append(("manifest", TOKENIZER_NAME))
    for case_name, case in manifest.cases.items():
        named += [(f"cases.{case_name}", image.path) for image in case.images]
        if case.reference_path is not None:
            named.append((f"cases.{case_name}", case.reference_path))
    return named
