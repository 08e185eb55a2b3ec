"""A spec together with the file it extends.

`extends: families/smolvlm.yaml` takes every value of that file that the spec does not give
itself: mappings are merged key by key, anything else is replaced. A checkpoint and a picture
are replaced whole, since half of one and half of another is neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.spec.images import beside
from harness.spec.yaml_source import YamlPath, YamlSource, parse_shared, parse_yaml

EXTENDS = "extends"
_WHOLE = frozenset({"checkpoint", "image"})
_MOST_FILES = 8


def read_source(path: Path) -> YamlSource:
    """Parse a spec file and the files it extends into one source.

    Raises:
        InputError: the spec itself cannot be read. That a file it extends cannot be is a
            mistake of the spec.
    """
    try:
        text = path.read_bytes()
    except OSError as err:
        raise InputError(
            f"reading {path}", f"{err.strerror}", hint="specs are YAML files, one per model"
        ) from err
    return _with_parents(parse_yaml(path, text), (path.resolve(),))


def _with_parents(source: YamlSource, chain: tuple[Path, ...]) -> YamlSource:
    data = source.data
    name = data.get(EXTENDS) if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        return source
    parent_path = (source.file.parent / name).resolve()
    if parent_path in chain:
        source.report((EXTENDS,), f"{name} extends this file in turn")
        return source
    if len(chain) == _MOST_FILES:
        source.report((EXTENDS,), f"more than {_MOST_FILES} files extend each other")
        return source
    try:
        text = parent_path.read_bytes()
    except OSError as err:
        source.report((EXTENDS,), f"{parent_path}: {err.strerror}", "a YAML file")
        return source
    parent = _with_parents(parse_shared(parent_path, text), (*chain, parent_path))
    source.problems += parent.problems
    if not isinstance(parent.data, dict):
        if not parent.problems:
            source.report((EXTENDS,), f"{parent_path} is no mapping")
        return source
    inherited = {key: value for key, value in parent.data.items() if key != EXTENDS}
    taken = set(_merge(source.data, _anchored(inherited, parent_path.parent), ()))
    for places, parents in ((source.values, parent.values), (source.keys, parent.keys)):
        places |= {at: place for at, place in parents.items() if _is_below(at, taken)}
    return source


def _merge(own: dict[str, Any], inherited: dict[str, Any], path: YamlPath) -> Iterator[YamlPath]:
    """Put what `own` lacks into it; the paths of the values that were."""
    for key, value in inherited.items():
        if key not in own:
            own[key] = value
            yield (*path, key)
        elif isinstance(own[key], dict) and isinstance(value, dict) and key not in _WHOLE:
            yield from _merge(own[key], value, (*path, key))


def _is_below(path: YamlPath, taken: set[YamlPath]) -> bool:
    return any(path[:length] in taken for length in range(1, len(path) + 1))


def _anchored(value: Any, folder: Path, key: str = "") -> Any:
    """The value with relative paths made absolute: they count from the file they stand in."""
    if isinstance(value, dict):
        in_package = "package" in value
        return {
            name: inner if in_package else _anchored(inner, folder, name)
            for name, inner in value.items()
        }
    if isinstance(value, tuple):
        return tuple(_anchored(inner, folder, key) for inner in value)
    return str(beside(folder, value)) if _is_path(key, value) else value


def _is_path(key: str, value: Any) -> bool:
    return key in ("path", "image", "images", "random") and isinstance(value, str)
