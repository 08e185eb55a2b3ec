"""Specs: what a YAML file says of a model, validated at the edge and frozen.

`yaml_source` reads YAML with places, `document` says which keys there are, `typecheck`
and `checks` find mistakes, `load` builds the dataclasses of `model`.
"""

from __future__ import annotations

from harness.spec.images import ImageSource
from harness.spec.limits import check_recipe_for_soc
from harness.spec.load import find_spec, load_spec, load_specs
from harness.spec.model import (
    Accuracy,
    CalibrationSample,
    Case,
    CheckpointRef,
    Conditions,
    Expectation,
    MetricBound,
    QuestionSet,
    SizeCeiling,
    Spec,
    SpecPlace,
    Turn,
)
from harness.spec.overrides import check_overridable, override_recipe
from harness.spec.recipe import ComponentRecipe, Recipe

__all__ = [
    "Accuracy",
    "CalibrationSample",
    "Case",
    "CheckpointRef",
    "ComponentRecipe",
    "Conditions",
    "Expectation",
    "ImageSource",
    "MetricBound",
    "QuestionSet",
    "Recipe",
    "SizeCeiling",
    "Spec",
    "SpecPlace",
    "Turn",
    "check_overridable",
    "check_recipe_for_soc",
    "find_spec",
    "load_spec",
    "load_specs",
    "override_recipe",
]
