"""The parts of a parsed spec that rules look at. Whatever has the wrong type is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.spec.section import list_images
from harness.spec.yaml_source import YamlPath, YamlSource

Mapping = dict[str, Any]


def is_count(value: Any) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def sections_of(source: YamlSource, *path: str) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The mappings of the list at `path`."""
    entries = source.data
    for key in path:
        entries = entries.get(key)
    for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        if isinstance(entry, dict):
            yield (*path, index), entry


def calibration_of(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The samples to calibrate with, those of unused sets too: any set may be chosen."""
    yield from sections_of(source, "calibration")
    sets = source.data.get("calibration_sets")
    for name in sets if isinstance(sets, dict) else ():
        yield from sections_of(source, "calibration_sets", name)


def cases_of(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The cases."""
    cases = source.data.get("cases")
    for name, case in cases.items() if isinstance(cases, dict) else ():
        if isinstance(case, dict):
            yield ("cases", name), case


def pictures_in(path: YamlPath, section: dict[str, Any]) -> Iterator[tuple[YamlPath, Any]]:
    """The pictures of a case, a sample or a question, as mappings."""
    value = section.get("image")
    is_list = isinstance(value, tuple)
    for index, image in enumerate(list_images(value)):
        if isinstance(image, dict):
            yield ((*path, "image", index) if is_list else (*path, "image")), image


def turns_in(path: YamlPath, case: dict[str, Any]) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The turns of a case; a case without the key is its own only one."""
    turns = case.get("turns")
    if not isinstance(turns, tuple):
        yield path, case
        return
    for index, turn in enumerate(turns):
        if isinstance(turn, dict):
            yield (*path, "turns", index), turn


def images_of(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """All pictures, those to calibrate with first."""
    for path, section in calibration_of(source):
        yield from pictures_in(path, section)
    for path, image in case_images_of(source):
        yield path, image


def case_images_of(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The pictures of all turns of all cases."""
    for path, case in cases_of(source):
        for turn_path, turn in turns_in(path, case):
            yield from pictures_in(turn_path, turn)
