"""The spec language as a JSON Schema, for editors: completion, and mistakes while typing.

Made from `document`, so it cannot say other than the loader does about keys and types. Rules
that look at several values, or at files, are the loader's alone.
"""

from __future__ import annotations

import json
from typing import Any

from harness.socs import load_socs
from harness.spec.demand_checks import CEILING_METRICS, FLOOR_METRICS, RATE_SUFFIX
from harness.spec.document import Document

SCHEMA_NAME = "spec.schema.json"
EDITOR_LINE = "# yaml-language-server: $schema="
"""Begins the first line of a spec; the path of the schema follows."""


def spec_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a spec file."""
    schema = Document.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    schema["title"] = "VLM device harness: spec"
    required = schema["required"]
    _make_inheritable(schema, schema["$defs"])
    schema["required"] = ["schema"]
    schema["if"] = {"not": {"required": ["extends"]}}
    schema["then"] = {"required": required}
    socs = [soc.lower() for soc in load_socs()]
    floor, ceiling = (schema["$defs"][name] for name in ("FloorSection", "CeilingSection"))
    _name_bounds(floor, [soc + RATE_SUFFIX for soc in socs])
    _name_bounds(ceiling, [f"{soc}_{metric}" for soc in socs for metric in CEILING_METRICS])
    floor["properties"]["metric"] = {"enum": list(FLOOR_METRICS)}
    ceiling["properties"]["metric"] = {"enum": list(CEILING_METRICS)}
    return schema


def schema_text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(spec_json_schema(), indent=2) + "\n"


def _make_inheritable(section: dict[str, Any], sections: dict[str, Any]) -> None:
    """Require no key of a mapping that may get it from the file the spec extends.

    Lists are inherited whole, so their members stay as they are.
    """
    section.pop("required", None)
    named = [*section.get("properties", {}).values()]
    named += section.get("patternProperties", {}).values()
    for value in named:
        name = str(value.get("$ref", "")).rpartition("/")[2]
        _make_inheritable(sections.get(name, value), sections)


def _name_bounds(section: dict[str, Any], keys: list[str]) -> None:
    """Spell the keys out, no pattern: editors complete names only."""
    bound = section.pop("additionalProperties")
    section["additionalProperties"] = False
    section["properties"] |= dict.fromkeys(keys, bound)
