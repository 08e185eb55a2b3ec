"""The rule about turns: a case is one question, or a list of them."""

from __future__ import annotations

from typing import Any

from harness.spec.document import CaseSection
from harness.spec.typecheck import nearest
from harness.spec.walk import cases_of
from harness.spec.yaml_source import YamlPath, YamlSource

_ONE_TURN = ("image", "prompt")


def check_turns(source: YamlSource) -> None:
    """Each case has `image` and `prompt`, or else `turns`."""
    for path, case in cases_of(source):
        if "turns" not in case:
            _check_question(source, path, case)
        for key in _ONE_TURN if "turns" in case else ():
            if key in case:
                source.report((*path, key), "the case has turns, where it belongs", key=True)


def _check_question(source: YamlSource, path: YamlPath, case: dict[str, Any]) -> None:
    known = list(CaseSection.model_fields)
    unknown = [key for key in case if key not in known]
    for key in _ONE_TURN:
        # A typo of the key is told by itself.
        if key not in case and all(nearest(known, wrong) != key for wrong in unknown):
            source.report((*path, key), f"the key {key!r} is missing")
