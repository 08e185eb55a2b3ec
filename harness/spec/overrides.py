"""Recipes changed from the command line: `--recipe vision_encoder=fp16`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from harness.errors import InputError
from harness.spec.document import RecipeSection
from harness.spec.model import Spec
from harness.spec.recipe import (
    DECODER_KEYS,
    KV_CACHE_BITS,
    TEXT_DECODER,
    ComponentRecipe,
    Recipe,
    allowed_cache_bits,
    build_component_recipe,
)
from harness.spec.recipe_checks import check_recipe
from harness.spec.typecheck import known_names
from harness.spec.yaml_source import YamlSource
from harness.vocabulary import COMPONENTS, Backend, PerformanceMode

FORM = "COMPONENT=QUANTIZATION, COMPONENT.KEY=VALUE or performance_mode=NAME"


def override_recipe(spec: Spec, settings: Iterable[str]) -> Spec:
    """The spec with parts of its recipe replaced.

    A new quantisation takes a component's exceptions, blocks and, where it has no cache of
    that width, `kv_cache_bits` with it; they were made for the old one.

    Args:
        settings: each of the form of `FORM`.

    Raises:
        InputError: a setting is not understood, or the recipe it leads to cannot be.
    """
    recipe = spec.recipe
    for setting in settings:
        recipe = _changed(recipe, setting)
    return replace(spec, recipe=recipe)


def check_overridable(settings: Iterable[str], backend: Backend | None) -> None:
    """Refuse settings beside a backend that they say nothing of.

    Raises:
        InputError: a bundle for the CPU is to be made, which has a recipe of its own.
    """
    for setting in settings if backend == "xnnpack" else ():
        raise InputError(
            f"reading --recipe {setting}",
            "it changes the recipe for the HTP, and the backend is xnnpack",
            hint="change recipe_xnnpack in the spec",
        )


def _changed(recipe: Recipe, setting: str) -> Recipe:
    name, equals, text = setting.partition("=")
    doing = f"reading --recipe {setting}"
    component, dot, key = name.partition(".")
    if not equals or not text:
        raise InputError(doing, "it sets nothing", expected=FORM)
    if name == "performance_mode":
        names = get_args(PerformanceMode)
        if text not in names:
            raise InputError(doing, f"{text!r} is not known", expected=known_names(names, text))
        parts = {n: replace(r, performance_mode=text) for n, r in recipe.components.items()}
        return replace(recipe, components=parts)
    if component not in COMPONENTS:
        expected = known_names((*COMPONENTS, "performance_mode"), component)
        raise InputError(doing, f"there is no component {component!r}", expected=expected)
    if not dot:
        key = "quantization"
    values = _values(recipe.of(component), component, key, text)
    _check(values, component, doing)
    made = build_component_recipe(values, component)
    return replace(recipe, components={**recipe.components, component: made})


def _values(recipe: ComponentRecipe, component: str, key: str, text: str) -> dict[str, Any]:
    values = recipe.as_dict()
    if key != "quantization":
        return {**values, key: yaml.safe_load(text)}
    for dropped in ("exceptions", "block_size"):
        values.pop(dropped, None)
    if text == "fp16":
        values.pop("observer")
    if component == TEXT_DECODER and values["kv_cache_bits"] not in allowed_cache_bits(text):
        values["kv_cache_bits"] = KV_CACHE_BITS.get(text)
    return {**values, "quantization": text}


def _check(values: dict[str, Any], component: str, doing: str) -> None:
    """Types and combinations, by the rules of a spec file."""
    kept = {key: value for key, value in values.items() if key != "performance_mode"}
    exceptions = tuple(kept.pop("exceptions", ()))
    own = {**kept, "exceptions": exceptions} if exceptions else kept
    others: dict[str, Any] = {n: {"quantization": "16a8w"} for n in COMPONENTS if n != component}
    document = {**others, component: own}
    source = YamlSource(Path("--recipe"), {"recipe": document})
    try:
        TypeAdapter(RecipeSection).validate_python(document)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        known = ", ".join(DECODER_KEYS)
        expected = known if first["type"] == "extra_forbidden" else None
        raise InputError(doing, f"{key}: {first['msg']}", expected=expected) from err
    check_recipe(source)
    if source.problems:
        first_problem = source.problems[0]
        raise InputError(doing, first_problem.problem, expected=first_problem.expected)
