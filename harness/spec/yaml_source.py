"""YAML with the place of every value.

`parse_yaml` gives plain data (dict, tuple, str, int, float, bool, None) and, for each
value, where in the file it stands, so that a mistake found later can be pointed at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.errors import SpecProblem

YamlPath = tuple[str | int, ...]

# A spec is some levels deep; libyaml's composer recurses in C and dies of 100,000.
_DEEPEST = 32
# Aliases may make a small file large ("billion laughs").
_MOST_NODES = 50_000

# libyaml is 30 times faster; PyYAML is built without it on some platforms.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_TAG = "tag:yaml.org,2002:"


class Place(NamedTuple):
    """Line and column in a file, both from 1. A tuple, since each value of a file has one."""

    file: Path
    line: int
    column: int


@dataclass
class YamlSource:
    """A parsed file: `data`, the places of its values and keys, and what is wrong with it.

    Where the file extends another one, places tell which of them a value stands in. `asked`
    is the file of questions that it names, if it names one. `document` is `data` once its
    types were found to be right.
    """

    file: Path
    data: Any = None
    values: dict[YamlPath, Place] = field(default_factory=dict)
    keys: dict[YamlPath, Place] = field(default_factory=dict)
    problems: list[SpecProblem] = field(default_factory=list)
    asked: YamlSource | None = None
    document: Any = None

    def place_of(self, path: YamlPath, *, key: bool = False) -> Place:
        """Where the value (or its key) stands; of a path that is not there, its parent."""
        places = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            for known in places:
                if path in known:
                    return known[path]
            path = path[:-1]
        return self.values.get((), Place(self.file, 1, 1))

    def problem_at(
        self, path: YamlPath, problem: str, expected: str | None = None, *, key: bool = False
    ) -> SpecProblem:
        """A mistake at a value, or at its key."""
        place = self.place_of(path, key=key)
        return SpecProblem(place.file, place.line, place.column, show_path(path), problem, expected)

    def report(
        self, path: YamlPath, problem: str, expected: str | None = None, *, key: bool = False
    ) -> None:
        """Add a mistake to `problems`."""
        self.problems.append(self.problem_at(path, problem, expected, key=key))


def show_path(path: YamlPath) -> str:
    """`("cases", "cat", "image", 0)` as "$.cases.cat.image[0]"."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def parse_yaml(file: Path, text: bytes) -> YamlSource:
    """Parse one YAML document. Never raises: mistakes are in `problems`."""
    source = YamlSource(file)
    try:
        if _is_too_deep(text):
            source.report((), f"nested more than {_DEEPEST} deep")
            return source
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as err:
        source.problems.append(_syntax_problem(file, err))
        return source
    if node is None:
        source.report((), "the file is empty", "a spec")
        return source
    source.data = _Reader(source).read(node, ())
    return source


def parse_shared(file: Path, text: bytes) -> YamlSource:
    """`parse_yaml` for a file that many specs name: the same bytes are parsed once.

    Its bytes, not its date, say whether a file has changed. Each caller gets a source of its
    own: mappings may be added to, lists are never changed.
    """
    known = _parsed(file, text)
    return YamlSource(
        file, _copied(known.data), dict(known.values), dict(known.keys), list(known.problems)
    )


@lru_cache(maxsize=64)
def _parsed(file: Path, text: bytes) -> YamlSource:
    return parse_yaml(file, text)


def _copied(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: _copied(value) for key, value in data.items()}


def _is_too_deep(text: bytes) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return True
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return False


def _syntax_problem(file: Path, err: yaml.YAMLError) -> SpecProblem:
    mark = getattr(err, "problem_mark", None) or getattr(err, "context_mark", None)
    line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    what = getattr(err, "problem", None) or str(err).splitlines()[0]
    return SpecProblem(file, line, column, "$", f"not YAML: {what}")


class _Reader:
    """Turns composed nodes into data, noting places and mistakes."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._open: set[int] = set()
        self._nodes_left = _MOST_NODES

    def read(self, node: yaml.Node, path: YamlPath) -> Any:
        self._source.values[path] = self._place(node)
        self._nodes_left -= 1
        if self._nodes_left <= 0:
            if self._nodes_left == 0:
                self._source.report(path, f"more than {_MOST_NODES} values")
            return None
        if id(node) in self._open:
            self._source.report(path, "an alias of something that contains it")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._read_mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return tuple(
                    self.read(item, (*path, index)) for index, item in enumerate(node.value)
                )
            return self._read_scalar(node, path) if isinstance(node, yaml.ScalarNode) else None
        finally:
            self._open.discard(id(node))

    def _read_mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._read_key(key_node, path)
            if key is None:
                continue
            inner = (*path, key)
            if key in data:
                first = self._source.keys[inner]
                self._note(key_node, inner, f"the key was given before, in line {first.line}")
                continue
            self._source.keys[inner] = self._place(key_node)
            data[key] = self.read(value_node, inner)
        return data

    def _read_key(self, node: yaml.Node, path: YamlPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, path, "a key that is no plain text")
            return None
        if node.tag == _TAG + "merge":
            self._note(node, path, "merge keys (<<) are not supported")
            return None
        # Taken as written, whatever YAML would make of it: `no`, `1` and `null` are names.
        return str(node.value)

    def _read_scalar(self, node: yaml.ScalarNode, path: YamlPath) -> Any:
        kind = node.tag.removeprefix(_TAG)
        # A date is text here: nothing in a spec is one.
        if kind in ("str", "timestamp"):
            return str(node.value)
        try:
            if kind == "int":
                return _CONSTRUCTOR.construct_yaml_int(node)
            if kind == "float":
                return _CONSTRUCTOR.construct_yaml_float(node)
            if kind == "bool":
                return _CONSTRUCTOR.construct_yaml_bool(node)
        except (ValueError, OverflowError, KeyError):
            self._note(node, path, f"{node.value!r} is no {kind}")
            return None
        if kind != "null":
            self._note(node, path, f"the tag {node.tag!r} is not supported")
        return None

    def _note(self, node: yaml.Node, path: YamlPath, problem: str) -> None:
        place = self._place(node)
        self._source.problems.append(
            SpecProblem(place.file, place.line, place.column, show_path(path), problem)
        )

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._source.file, node.start_mark.line + 1, node.start_mark.column + 1)
