"""Which tests a session is about."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, InputError
from harness.front.options import Options, wanted_places
from harness.front.session import Subject
from harness.manifest import MANIFEST_NAME, parse_manifest
from harness.spec import Case, Spec

_NAME = re.compile(r"[A-Za-z_]\w*")
_ARGUMENTS = re.compile(r"\([^()]*=[^()]*\)")  # of a marker: `device(serial="x")`
_WORDS_OF_EXPRESSIONS = {"and", "or", "not", "True", "False", "None"}


def subjects_of_specs(options: Options, specs: Iterable[Spec]) -> Iterator[tuple[str, Subject]]:
    """Each device x spec x mode that the command line allows, with the name tests bear."""
    places = wanted_places(options)
    for spec in specs:
        for mode in spec.modes:
            if options.modes and mode not in options.modes:
                continue
            for place in places:
                where = f"@{place.serial or place.soc}" if len(places) > 1 else ""
                yield f"{spec.model}-{mode}{where}", Subject(spec, mode, place)


def specs_that_demand(specs: Iterable[Spec], demand: str | None) -> list[Spec]:
    """The specs whose accuracy section has this demand; all of them for None."""
    return [spec for spec in specs if demand is None or getattr(spec.accuracy, demand) is not None]


def parameter_sets(options: Options, specs: Iterable[Spec], *, per_case: bool) -> list[Any]:
    """pytest's parameters for (subject, case), or for subject alone."""
    params = []
    for name, subject in subjects_of_specs(options, specs):
        spec = subject.spec
        marks = [getattr(pytest.mark, spec.family), getattr(pytest.mark, spec.model)]
        if per_case:
            params += [
                pytest.param(subject, case, id=f"{name}-{case.name}", marks=marks)
                for case in spec.cases.values()
            ]
        else:
            params.append(pytest.param(subject, id=name, marks=marks))
    return params


def subject_of(item: pytest.Item) -> Subject | None:
    """What a test is about; None for a test that is not made from a spec."""
    call = getattr(item, "callspec", None)
    subject = call.params.get("subject") if call is not None else None
    return subject if isinstance(subject, Subject) else None


def case_of(item: pytest.Item) -> str | None:
    """The name of the case a test is about, if it is about one."""
    call = getattr(item, "callspec", None)
    case = call.params.get("case") if call is not None else None
    return case.name if isinstance(case, Case) else None


def check_marker_names(expression: str, marker_lines: Iterable[str]) -> None:
    """InputError for a name in `-m` that no marker has: a typing error would select nothing.

    Args:
        expression: `-m`'s value.
        marker_lines: pytest's `markers` setting, "name: meaning" or "name(args): meaning".
    """
    known = {line.partition(":")[0].partition("(")[0].strip() for line in marker_lines}
    names = _NAME.findall(_ARGUMENTS.sub("", expression))
    for name in names:
        if name not in known | _WORDS_OF_EXPRESSIONS:
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                f"reading -m {expression!r}",
                f"there is no model, family or kind of check {name!r}",
                expected="a marker of `pytest --markers`",
                hint=f"did you mean {near[0]}?" if near else "pytest --markers",
            )


def leave_out_other_models(given: Path, items: list[pytest.Item]) -> tuple[str, list[pytest.Item]]:
    """A single given bundle says which of the selected models is meant.

    Returns a sentence and the tests to leave out. There are none if the bundle is of no
    selected model: the tests then say that it does not fit.
    """
    path = given / MANIFEST_NAME
    try:
        model = parse_manifest(path.read_bytes(), path).model
    except (OSError, HarnessError):
        return "", []  # a folder of bundles; or the tests that load it will say what is wrong
    subjects = [(item, subject_of(item)) for item in items]
    other = [item for item, subject in subjects if subject and subject.spec.model != model]
    if not any(subject and subject.spec.model == model for _, subject in subjects):
        return "", []
    return f"{given} is a bundle of {model}: {len(other)} tests of other models left out", other
