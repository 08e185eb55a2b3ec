"""Rules about what a spec demands: expectations of replies, accuracy, floors and ceilings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.socs import load_socs
from harness.spec.demands import CeilingSection, FloorSection
from harness.spec.image_checks import calibrated_pictures
from harness.spec.questions import read_questions
from harness.spec.typecheck import known_names
from harness.spec.walk import cases_of, is_count, sections_of
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS, METRIC_KINDS
from harness.words import words_of

RATE_SUFFIX = "_token_rate"
SIZE_SUFFIX = "_pte_size_bytes"
_SOC_KEY = re.compile(r"(sm\d+)_(.+)")
FLOOR_METRICS = tuple(name for name, kind in METRIC_KINDS.items() if kind.better == "higher")
CEILING_METRICS = tuple(name for name, kind in METRIC_KINDS.items() if kind.better == "lower")
_SIZE_KEYS = tuple(f"{component}{SIZE_SUFFIX}" for component in COMPONENTS)
_DEMANDS = ("agreement", "logits", "perplexity", "questions")
_LOGITS_BOUNDS = ("min_sqnr_db", "min_cosine", "max_kl_nats")


def soc_of_key(key: str) -> str | None:
    """SM8650 of `sm8650_token_rate` or `sm8650_ttft_ms`, None of a key of another form."""
    match = _SOC_KEY.fullmatch(key)
    return match[1].upper() if match else None


def check_expectations(source: YamlSource) -> None:
    """What a case expects can be met, and can be missed."""
    for path, case in cases_of(source):
        expect = case.get("expect")
        if not isinstance(expect, dict):
            continue
        here = (*path, "expect")
        positive = ("all_of", "any_of", "matches_all", "matches_any")
        if not any(expect.get(rule) for rule in positive):
            # Forbidden words alone let any nonsense pass.
            source.report(here, "it expects nothing", "at least one word in all_of or any_of")
        _check_words(source, here, expect)
        _check_patterns(source, here, expect)
        _check_limits(source, here, expect, case.get("max_new_tokens"))


def _check_words(source: YamlSource, here: YamlPath, expect: dict[str, Any]) -> None:
    wanted = {words_of(word) for _, word in _texts(here, expect, "all_of")}
    for rule in ("all_of", "any_of", "none_of"):
        for path, word in _texts(here, expect, rule):
            if not words_of(word):
                source.report(path, f"{word!r} has neither letter nor digit")
            elif rule == "none_of" and words_of(word) in wanted:
                source.report(path, f"{word!r} is in all_of as well")


def _check_patterns(source: YamlSource, here: YamlPath, expect: dict[str, Any]) -> None:
    for rule in ("matches_all", "matches_any", "matches_none"):
        for path, pattern in _texts(here, expect, rule):
            try:
                compiled = re.compile(pattern)
            except re.error as err:
                source.report(path, f"{pattern!r} is no regular expression: {err}")
                continue
            if compiled.search(""):
                always = "never" if rule == "matches_none" else "always"
                source.report(
                    path,
                    f"{pattern!r} matches the empty text, so it is {always} met",
                    "a pattern that some reply can fail",
                )


def _check_limits(source: YamlSource, here: YamlPath, expect: dict[str, Any], most: object) -> None:
    least, words, tokens = (expect.get(key) for key in ("min_words", "max_words", "max_tokens"))
    if isinstance(least, int) and isinstance(words, int) and words < least:
        source.report(
            (*here, "max_words"), f"{words} is out of range", f"at least min_words, {least}"
        )
    if isinstance(tokens, int) and is_count(most) and isinstance(most, int) and tokens > most:
        source.report(
            (*here, "max_tokens"), f"{tokens} is out of range", f"at most max_new_tokens, {most}"
        )


def check_accuracy(source: YamlSource) -> None:
    """The demands on the model as a whole bound something, and their questions are there."""
    accuracy = source.data.get("accuracy")
    if not isinstance(accuracy, dict):
        return
    if not accuracy:
        source.report(("accuracy",), "it demands nothing", known_names(_DEMANDS, ""))
    logits = accuracy.get("logits")
    if isinstance(logits, dict) and not logits:
        where = ("accuracy", "logits")
        source.report(where, "it bounds nothing", known_names(_LOGITS_BOUNDS, ""))
    questions = accuracy.get("questions")
    name = questions.get("path") if isinstance(questions, dict) else None
    if not isinstance(name, str) or not name:
        return
    file = (source.file.parent / name).resolve()
    if not file.is_file():
        source.report(("accuracy", "questions", "path"), f"there is no file {file}")
        return
    source.asked = read_questions(file, calibrated_pictures(source))
    source.problems += source.asked.problems


def check_floors(source: YamlSource) -> None:
    """Each floor bounds a rate for at least one known SoC."""
    fixed = tuple(FloorSection.model_fields)
    for path, floor in sections_of(source, "floors"):
        _check_metric(source, (*path, "metric"), floor.get("metric"), FLOOR_METRICS)
        extra = [key for key in floor if key not in fixed]
        for key in extra:
            if soc_of_key(key) is None or not key.endswith(RATE_SUFFIX):
                names = (*fixed, *(f"{soc.lower()}{RATE_SUFFIX}" for soc in load_socs()))
                source.report(
                    (*path, key), f"unknown key {key!r}", known_names(names, key), key=True
                )
            else:
                _check_soc(source, (*path, key))
        if not extra:
            source.report(path, "it names no SoC", f"keys like sm8650{RATE_SUFFIX}")


def check_ceilings(source: YamlSource) -> None:
    """Each ceiling bounds either sizes or one metric for at least one known SoC."""
    fixed = tuple(CeilingSection.model_fields)
    for path, ceiling in sections_of(source, "ceilings"):
        sizes = [key for key in ceiling if key in _SIZE_KEYS]
        extra = [key for key in ceiling if key not in fixed]
        metric = ceiling.get("metric")
        if metric is None:
            if not sizes and not extra:
                source.report(path, "it bounds nothing", known_names(_SIZE_KEYS, ""))
            for key in extra:
                _check_stray_key(source, (*path, key), fixed)
            continue
        known = _check_metric(source, (*path, "metric"), metric, CEILING_METRICS)
        for key in sizes:
            where = (*path, key)
            source.report(where, "a size beside a metric", "an entry of its own", key=True)
        if known and not extra:
            source.report(path, "it names no SoC", f"keys like sm8650_{metric}")
        for key in extra if known else ():
            _check_ceiling_key(source, (*path, key), str(metric), fixed)


def _check_ceiling_key(
    source: YamlSource, path: YamlPath, metric: str, fixed: tuple[str, ...]
) -> None:
    key = str(path[-1])
    soc = soc_of_key(key)
    if soc is None:
        names = (*fixed, *(f"{name.lower()}_{metric}" for name in load_socs()))
        source.report(path, f"unknown key {key!r}", known_names(names, key), key=True)
    elif not key.endswith(f"_{metric}"):
        wanted = f"{soc.lower()}_{metric}"
        source.report(path, "it is of another metric", wanted, key=True)
    else:
        _check_soc(source, path)


def _check_stray_key(source: YamlSource, path: YamlPath, fixed: tuple[str, ...]) -> None:
    """A key that would need a metric, or nothing at all."""
    key = str(path[-1])
    match = _SOC_KEY.fullmatch(key)
    if match and match[2] in CEILING_METRICS:
        source.report(path, "no metric is named", f"metric: {match[2]}", key=True)
    else:
        source.report(path, f"unknown key {key!r}", known_names(fixed, key), key=True)


def _check_metric(
    source: YamlSource, path: YamlPath, metric: object, allowed: tuple[str, ...]
) -> bool:
    """Whether the metric is one that can be bounded in this direction."""
    if not isinstance(metric, str):
        return False
    if metric in allowed:
        return True
    kind = METRIC_KINDS.get(metric)
    what = "not known" if kind is None else f"better when {kind.better}"
    source.report(path, f"{metric!r} is {what}", known_names(allowed, metric))
    return False


def _check_soc(source: YamlSource, path: YamlPath) -> None:
    soc = soc_of_key(str(path[-1]))
    if soc not in load_socs():
        source.report(path, f"unknown SoC {soc!r}", known_names(list(load_socs()), soc), key=True)


def _texts(path: YamlPath, expect: dict[str, Any], rule: str) -> Iterator[tuple[YamlPath, str]]:
    texts = expect.get(rule)
    for index, text in enumerate(texts if isinstance(texts, tuple) else ()):
        if isinstance(text, str):
            yield (*path, rule, index), text
