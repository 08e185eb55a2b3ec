"""Specs: what a YAML file says of a model, validated at the edge and frozen.

`yaml_source` reads YAML with places, `document` says which keys there are, `typecheck`
and `checks` find mistakes, `load` builds the dataclasses of `model`.
"""

from __future__ import annotations

from harness.spec.images import ImageSource
from harness.spec.load import find_spec, load_spec, load_specs
from harness.spec.model import (
    CalibrationSample,
    Case,
    Ceiling,
    CheckpointRef,
    Conditions,
    Expectation,
    Floor,
    Spec,
    SpecPlace,
)
from harness.spec.recipe import ComponentRecipe, Recipe

__all__ = [
    "CalibrationSample",
    "Case",
    "Ceiling",
    "CheckpointRef",
    "ComponentRecipe",
    "Conditions",
    "Expectation",
    "Floor",
    "ImageSource",
    "Recipe",
    "Spec",
    "SpecPlace",
    "find_spec",
    "load_spec",
    "load_specs",
]
