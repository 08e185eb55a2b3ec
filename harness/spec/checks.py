"""Rules of a spec file beyond the types of its values.

Every rule looks at the parsed YAML, passes over whatever has the wrong type (the type
check says so), and adds what it finds to `source.problems`. So all rules speak at once.
"""

from __future__ import annotations

from pathlib import Path

from harness.spec.cpu_recipe import check_cpu_recipe
from harness.spec.demand_checks import (
    check_accuracy,
    check_ceilings,
    check_expectations,
    check_floors,
)
from harness.spec.image_checks import check_images, check_leakage
from harness.spec.recipe_checks import check_lookahead, check_recipe
from harness.spec.turn_checks import check_turns
from harness.spec.typecheck import known_names
from harness.spec.walk import cases_of, is_count
from harness.spec.yaml_source import YamlSource

# Model and family become pytest markers beside these.
RESERVED_MARKERS = frozenset(
    {"accuracy", "perf", "size", "device", "compile", "demand", "asked", "timeout", "parametrize"}
    | {"skip", "skipif", "xfail", "usefixtures", "filterwarnings"}
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
        check_cpu_recipe,
        _check_modes,
        check_turns,
        check_images,
        check_expectations,
        _check_calibration,
        check_leakage,
        check_accuracy,
        check_floors,
        check_ceilings,
    ):
        rule(source)


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
    if not is_count(longest):
        return
    name, context = "max_context_len", source.data.get("max_context_len")
    if is_count(context) and context < longest:
        source.report((name,), f"{context} is out of range", f"at least max_seq_len, {longest}")
    if not is_count(context):
        name, context = "max_seq_len", longest
    prefill = source.data.get("prefill_ar_len")
    if is_count(prefill) and prefill >= context:
        source.report(
            ("prefill_ar_len",), f"{prefill} is out of range", f"less than {name}, {context}"
        )
    check_lookahead(source, context)
    for path, case in cases_of(source):
        tokens = case.get("max_new_tokens")
        if is_count(tokens) and tokens >= longest:
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


def _check_calibration(source: YamlSource) -> None:
    name, sets = source.data.get("calibration"), source.data.get("calibration_sets")
    known = list(sets) if isinstance(sets, dict) else []
    if isinstance(name, str) and name not in known:
        expected = known_names(known, name) if known else "a list, or a name of calibration_sets"
        source.report(("calibration",), f"there is no calibration set {name!r}", expected)


def _resolved(source: YamlSource, path: str) -> Path:
    return (source.file.parent / path).resolve()
