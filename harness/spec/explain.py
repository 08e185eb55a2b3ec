"""What a spec says in the end, value by value, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.spec.document import Document
from harness.spec.inherit import read_source
from harness.spec.model import SpecPlace
from harness.spec.yaml_source import YamlPath, YamlSource, show_path

DEFAULT = "default"


@dataclass(frozen=True)
class EffectiveValue:
    """One value: its YAML path ("$.cases.cat.prompt"), and its place or "default"."""

    yaml_path: str
    value: Any
    origin: str


def effective_values(path: Path) -> tuple[EffectiveValue, ...]:
    """Every value of a valid spec file, inherited ones and defaults among them.

    Keys that are absent and have no value by default are left out.

    Raises:
        InputError: the file cannot be read.
        pydantic.ValidationError: it is no valid spec; `load_spec` says it better.
    """
    source = read_source(path)
    document = Document.model_validate(source.data).model_dump(by_alias=True)
    leaves = [(_as_written(source, at), value) for at, value in _leaves(document, ())]
    return tuple(
        EffectiveValue(show_path(at), value, _origin(source, at))
        for at, value in leaves
        if value is not None
    )


def _leaves(value: Any, path: YamlPath) -> Iterator[tuple[YamlPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def _as_written(source: YamlSource, path: YamlPath) -> YamlPath:
    """The path without the index of an entry that the file gives alone, not in a list."""
    written: YamlPath = ()
    for part in path:
        inner = (*written, part)
        if not isinstance(part, int) or inner in source.values:
            written = inner
    return written


def _origin(source: YamlSource, path: YamlPath) -> str:
    """The place of the value, or of the shorter form that it was written in."""
    for end in range(len(path), 0, -1):
        known = source.values.get(path[:end])
        if known is not None:
            written_out = end == len(path) or not _is_inside(source, path[:end])
            return str(SpecPlace(known.file, known.line)) if written_out else DEFAULT
    return DEFAULT


def _is_inside(source: YamlSource, path: YamlPath) -> bool:
    """Whether the file has values below a path."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in source.values)
