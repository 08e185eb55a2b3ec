"""Types of a spec file: pydantic's findings, told in the words of the YAML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.spec.document import known_keys
from harness.spec.section import IDENTIFIER, SHA256, Section
from harness.spec.yaml_source import YamlPath, YamlSource

_Document = TypeVar("_Document", bound=Section)

_PATTERNS = {
    IDENTIFIER: "a name of small letters, digits and underscores that begins with a letter",
    SHA256: "64 hex digits in lower case",
}
_RANGES = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def check_types(source: YamlSource, kind: type[_Document]) -> _Document | None:
    """The document, or None with every mistake added to `source.problems`."""
    try:
        return kind.model_validate(source.data)
    except ValidationError as err:
        errors = err.errors(include_url=False)
        # What a file that cannot be read would have given is not missing by mistake.
        orphaned = any(problem.yaml_path == "$.extends" for problem in source.problems)
        for error in errors:
            inherited = orphaned and error["type"] == "missing"
            if not inherited and not _is_explained(error, errors, kind):
                _report(source, error, kind)
        return None


def known_names(names: Sequence[str], wrong: object) -> str:
    """The allowed names as one line, with the nearest one first if there is a near one."""
    near = nearest(names, wrong)
    listing = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return listing if near is None else f"{listing}; did you mean {near!r}?"


def nearest(names: Sequence[str], wrong: object) -> str | None:
    """The name that `wrong` may be a typo of."""
    import difflib

    matches = difflib.get_close_matches(str(wrong), names, n=1)
    return matches[0] if matches else None


def show_value(value: Any) -> str:
    """A value as it would stand in YAML, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_explained(
    error: ErrorDetails, errors: Sequence[ErrorDetails], document: type[Section]
) -> bool:
    """Whether another mistake is the cause, so that this one would only confuse."""
    if error["type"] == "too_short":
        # The list has members; they were dropped because each is wrong by itself.
        return bool(error["input"])
    if error["type"] != "missing":
        return False
    *parent, key = error["loc"]
    return any(
        other["type"] == "extra_forbidden"
        and list(other["loc"][:-1]) == parent
        and nearest(known_keys(parent, document), other["loc"][-1]) == key
        for other in errors
    )


def _report(source: YamlSource, error: ErrorDetails, document: type[Section]) -> None:
    path = _yaml_path(source.data, error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        key = error["loc"][-1]
        names = known_keys(error["loc"][:-1], document)
        source.report(path, f"unknown key {key!r}", known_names(names, key), key=True)
    elif kind == "missing":
        source.report(path, f"the key {error['loc'][-1]!r} is missing")
    elif kind == "string_type":
        hint = " (in quotes)" if isinstance(value, bool | int | float) else ""
        source.report(path, f"{show_value(value)} is no text", f"text{hint}")
    else:
        source.report(path, *_told(error, value), key="[key]" in error["loc"])


def _told(error: ErrorDetails, value: Any) -> tuple[str, str | None]:
    """Problem and expectation for a value of the wrong type or range."""
    kind, context = error["type"], error.get("ctx", {})
    shown = show_value(value)
    if kind in _KINDS:
        return f"{shown} is not {_KINDS[kind]}", None
    if kind == "literal_error":
        names = [name.strip("' ") for name in context["expected"].replace(" or ", ",").split(",")]
        return f"{shown} is not known", known_names(names, value)
    if kind == "string_pattern_mismatch":
        return f"{shown} is not allowed", _PATTERNS[context["pattern"]]
    if kind == "string_too_short":
        return "it is empty", "text"
    if kind == "too_short":
        return "it is empty", "at least one entry"
    if kind in _RANGES:
        limit, words = _RANGES[kind]
        return f"{shown} is out of range", f"{words} {context[limit]:g}"
    return f"{shown}: {error['msg']}", None


def _yaml_path(data: Any, location: Sequence[str | int]) -> YamlPath:
    """pydantic's location without the parts that the YAML file does not have.

    Those are the index of a single picture, the key "path" of one given as text, and the
    marker of a mapping's key.
    """
    path: list[str | int] = []
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(data, dict) and isinstance(part, str) and part != "[key]":
            if part in data or last:
                path.append(part)
                data = data.get(part)
        elif isinstance(data, tuple) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
    return tuple(path)
