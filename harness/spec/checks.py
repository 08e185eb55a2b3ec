"""Rules of a spec file beyond the types of its values.

Every rule looks at the parsed YAML, passes over whatever has the wrong type (the type
check says so), and adds what it finds to `source.problems`. So all rules speak at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.socs import load_socs
from harness.spec.document import FloorSection, list_images
from harness.spec.images import package_file, picture_sha256
from harness.spec.recipe_checks import check_lookahead, check_recipe
from harness.spec.typecheck import known_names
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS, METRIC_KINDS
from harness.words import words_of

RATE_SUFFIX = "_token_rate"
SIZE_SUFFIX = "_pte_size_bytes"
_RATE_KEY = re.compile(r"(sm\d+)" + RATE_SUFFIX)
FLOOR_METRICS = tuple(name for name, kind in METRIC_KINDS.items() if kind.better == "higher")

# Model and family become pytest markers beside these.
RESERVED_MARKERS = frozenset(
    {"accuracy", "perf", "size", "device", "compile", "timeout", "parametrize", "skip"}
    | {"skipif", "xfail", "usefixtures", "filterwarnings"}
)


def check_rules(source: YamlSource) -> None:
    """Apply every rule."""
    if not isinstance(source.data, dict):
        return
    for rule in (
        _check_markers,
        _check_checkpoint,
        _check_lengths,
        check_recipe,
        _check_modes,
        _check_images,
        _check_expectations,
        _check_calibration,
        _check_leakage,
        _check_floors,
        _check_ceilings,
    ):
        rule(source)


def rate_soc(key: str) -> str | None:
    """The SoC of a key: SM8650 of `sm8650_token_rate`, None of any other key."""
    match = _RATE_KEY.fullmatch(key)
    return match[1].upper() if match else None


def _check_markers(source: YamlSource) -> None:
    for key in ("model", "family"):
        name = source.data.get(key)
        if isinstance(name, str) and name in RESERVED_MARKERS:
            source.report((key,), f"{name!r} is a pytest marker with another meaning")


def _check_checkpoint(source: YamlSource) -> None:
    checkpoint = source.data.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return
    here = ("checkpoint",)
    path, hub, revision = (checkpoint.get(key) for key in ("path", "hub", "revision"))
    random = checkpoint.get("random")
    if sum(kind is not None for kind in (path, hub, random)) != 1:
        source.report(
            here,
            "it must be one of path, hub and random",
            "path: FOLDER, or hub: ID, or random: FOLDER",
        )
    elif hub is not None and revision is None:
        # A hub id alone means whatever lies there on the day.
        source.report(here, "the key 'revision' is missing", "a commit, tag or branch")
    elif hub is None and revision is not None:
        source.report((*here, "revision"), "a folder has no revision", key=True)
    if random is None and "seed" in checkpoint:
        source.report((*here, "seed"), "only random weights have a seed", key=True)
    for key, folder in (("path", path), ("random", random)):
        if isinstance(folder, str) and not _resolved(source, folder).is_dir():
            source.report((*here, key), f"there is no folder {_resolved(source, folder)}")


def _check_lengths(source: YamlSource) -> None:
    longest = source.data.get("max_seq_len")
    if not _is_count(longest):
        return
    name, context = "max_context_len", source.data.get("max_context_len")
    if _is_count(context) and context < longest:
        source.report((name,), f"{context} is out of range", f"at least max_seq_len, {longest}")
    if not _is_count(context):
        name, context = "max_seq_len", longest
    prefill = source.data.get("prefill_ar_len")
    if _is_count(prefill) and prefill >= context:
        source.report(
            ("prefill_ar_len",), f"{prefill} is out of range", f"less than {name}, {context}"
        )
    check_lookahead(source, context)
    for path, case in _cases(source):
        tokens = case.get("max_new_tokens")
        if _is_count(tokens) and tokens >= longest:
            source.report(
                (*path, "max_new_tokens"),
                f"{tokens} is out of range",
                f"less than max_seq_len, {longest}",
            )


def _check_modes(source: YamlSource) -> None:
    modes = source.data.get("modes")
    if not isinstance(modes, tuple):
        return
    for index, mode in enumerate(modes):
        if mode in modes[:index]:
            source.report(("modes", index), f"{mode!r} was given before")


def _check_images(source: YamlSource) -> None:
    for path, image in _images(source):
        _check_image_form(source, path, image)
        file = image_file(source.file, image)
        if file is None:
            continue
        if not file.is_file():
            source.report(path, f"there is no file {file}")
            continue
        declared = image.get("sha256")
        if isinstance(declared, str) and picture_sha256(file) != declared:
            source.report(
                (*path, "sha256"), f"{file} has sha256 {picture_sha256(file)}", "that file's"
            )


def _check_image_form(source: YamlSource, path: YamlPath, image: dict[str, Any]) -> None:
    given = frozenset(key for key in ("path", "package", "url", "sha256") if image.get(key))
    forms = ({"path"}, {"path", "sha256"}, {"package", "path", "sha256"}, {"url", "sha256"})
    if given not in forms and not set(image) - {"path", "package", "url", "sha256"}:
        source.report(
            path,
            f"a picture cannot be given by {' and '.join(sorted(given)) or 'nothing'}",
            "path; package, path and sha256; or url and sha256",
        )


def _check_expectations(source: YamlSource) -> None:
    for path, case in _cases(source):
        expect = case.get("expect")
        if not isinstance(expect, dict):
            continue
        here = (*path, "expect")
        if not expect.get("all_of") and not expect.get("any_of"):
            # Forbidden words alone let any nonsense pass.
            source.report(here, "it expects nothing", "at least one word in all_of or any_of")
        wanted = {words_of(word) for _, word in _words(here, expect, "all_of")}
        for rule in ("all_of", "any_of", "none_of"):
            for word_path, word in _words(here, expect, rule):
                if not words_of(word):
                    source.report(word_path, f"{word!r} has neither letter nor digit")
                elif rule == "none_of" and words_of(word) in wanted:
                    source.report(word_path, f"{word!r} is in all_of as well")


def _check_calibration(source: YamlSource) -> None:
    name, sets = source.data.get("calibration"), source.data.get("calibration_sets")
    known = list(sets) if isinstance(sets, dict) else []
    if isinstance(name, str) and name not in known:
        expected = known_names(known, name) if known else "a list, or a name of calibration_sets"
        source.report(("calibration",), f"there is no calibration set {name!r}", expected)


def _check_leakage(source: YamlSource) -> None:
    """A picture that was calibrated with proves nothing as a case."""
    used: dict[str, YamlPath] = {}
    for path, image in _images(source):
        sha256 = image_sha256(source.file, image)
        if sha256 is None:
            continue
        if path[0] in ("calibration", "calibration_sets"):
            used.setdefault(sha256, path)
        elif sha256 in used:
            line = source.place_of(used[sha256]).line
            source.report(
                path,
                f"the same picture is calibrated with, in line {line}",
                "a picture that the calibration has not seen",
            )


def _check_floors(source: YamlSource) -> None:
    fixed = list(FloorSection.model_fields)
    for path, floor in _sections(source, "floors"):
        metric = floor.get("metric")
        if isinstance(metric, str) and metric not in FLOOR_METRICS:
            what = "better when lower" if metric in METRIC_KINDS else "not known"
            source.report(
                (*path, "metric"), f"{metric!r} is {what}", known_names(FLOOR_METRICS, metric)
            )
        extra = [key for key in floor if key not in fixed]
        for key in extra:
            _check_rate_key(source, (*path, key), fixed)
        if not extra:
            source.report(path, "it names no SoC", f"keys like sm8650{RATE_SUFFIX}")


def _check_rate_key(source: YamlSource, path: YamlPath, fixed: list[str]) -> None:
    key = str(path[-1])
    soc = rate_soc(key)
    rates = [f"{name.lower()}{RATE_SUFFIX}" for name in load_socs()]
    if soc is None:
        source.report(path, f"unknown key {key!r}", known_names(fixed + rates, key), key=True)
    elif soc not in load_socs():
        source.report(path, f"unknown SoC {soc!r}", known_names(list(load_socs()), soc), key=True)


def _check_ceilings(source: YamlSource) -> None:
    keys = [f"{component}{SIZE_SUFFIX}" for component in COMPONENTS]
    for path, ceiling in _sections(source, "ceilings"):
        if not any(key in ceiling for key in keys):
            source.report(path, "it bounds nothing", known_names(keys, ""))


def image_file(spec_path: Path, image: dict[str, Any]) -> Path | None:
    """The file of a picture, which may be missing; None if it lies elsewhere or nowhere."""
    path, package = image.get("path"), image.get("package")
    if not isinstance(path, str):
        return None
    if isinstance(package, str):
        return package_file(package, path)
    return (spec_path.parent / path).resolve() if package is None else None


def image_sha256(spec_path: Path, image: dict[str, Any]) -> str | None:
    """The sha256 a picture declares, else its file's; None if there is neither."""
    declared = image.get("sha256")
    if isinstance(declared, str):
        return declared
    file = image_file(spec_path, image)
    return picture_sha256(file) if file is not None and file.is_file() else None


def _resolved(source: YamlSource, path: str) -> Path:
    return (source.file.parent / path).resolve()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _sections(source: YamlSource, *path: str) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The mappings of a list."""
    entries = source.data
    for key in path:
        entries = entries.get(key)
    for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        if isinstance(entry, dict):
            yield (*path, index), entry


def _calibration(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """The samples to calibrate with, those of unused sets too: any set may be chosen."""
    yield from _sections(source, "calibration")
    sets = source.data.get("calibration_sets")
    for name in sets if isinstance(sets, dict) else ():
        yield from _sections(source, "calibration_sets", name)


def _cases(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    cases = source.data.get("cases")
    for name, case in cases.items() if isinstance(cases, dict) else ():
        if isinstance(case, dict):
            yield ("cases", name), case


def _images(source: YamlSource) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
    """All pictures, those to calibrate with first."""
    for path, section in [*_calibration(source), *_cases(source)]:
        value = section.get("image")
        is_list = isinstance(value, tuple)
        for index, image in enumerate(list_images(value)):
            if isinstance(image, dict):
                yield ((*path, "image", index) if is_list else (*path, "image")), image


def _words(path: YamlPath, expect: dict[str, Any], rule: str) -> Iterator[tuple[YamlPath, str]]:
    words = expect.get(rule)
    for index, word in enumerate(words if isinstance(words, tuple) else ()):
        if isinstance(word, str):
            yield (*path, rule, index), word
