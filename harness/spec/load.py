"""From YAML files to specs."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError, SpecError, SpecProblem
from harness.socs import SOC_TABLE_NAME, specs_dir
from harness.spec.build import build_spec
from harness.spec.checks import check_rules
from harness.spec.document import Document
from harness.spec.inherit import read_source
from harness.spec.model import Spec
from harness.spec.typecheck import check_types

_SUFFIXES = (".yaml", ".yml")


def load_spec(path: Path) -> Spec:
    """Read one spec file.

    Raises:
        SpecError: every mistake in it, each with line, column and YAML path.
        InputError: the file cannot be read.
    """
    source = read_source(path)
    document = None
    if not source.problems or source.data is not None:
        check_rules(source)
        document = check_types(source, Document)
    if source.problems or document is None:
        raise SpecError(path, _in_file_order(source.problems))
    return build_spec(source, document)


def load_specs(folder: Path | None = None) -> dict[str, Spec]:
    """All specs of a folder (default: the repository's) by model, in the order of file names.

    Raises: SpecError with the mistakes of all files together; two specs of one model are
    a mistake too. InputError if there is no such folder.
    """
    folder = specs_dir() if folder is None else folder
    if not folder.is_dir():
        raise InputError(f"reading the specs in {folder}", "no such folder")
    specs: dict[str, Spec] = {}
    problems: list[SpecProblem] = []
    for path in _spec_files(folder):
        try:
            spec = load_spec(path)
        except SpecError as err:
            problems += err.problems
            continue
        if spec.model in specs:
            problem = f"{specs[spec.model].path} has the model {spec.model!r} too"
            problems.append(SpecProblem(path, 1, 1, "$.model", problem))
        specs.setdefault(spec.model, spec)
    if problems:
        raise SpecError(folder, problems)
    return specs


def find_spec(name_or_path: str | Path) -> Spec:
    """The spec of a model of `specs/`, or of a file.

    Raises: InputError with the nearest model name if there is none; SpecError.
    """
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES or path.is_file():
        return load_spec(path)
    name = str(name_or_path)
    direct = specs_dir() / f"{name}.yaml"
    if "/" not in name and direct.is_file() and (spec := load_spec(direct)).model == name:
        return spec
    specs = load_specs()
    if name in specs:
        return specs[name]
    import difflib

    near = difflib.get_close_matches(name, list(specs), n=1)
    raise InputError(
        "choosing the spec",
        f"unknown model {name!r}",
        expected=f"{', '.join(specs)}, or the path of a YAML file",
        hint=f"did you mean {near[0]}?" if near else _where_specs_are(),
    )


def _spec_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and path.name != SOC_TABLE_NAME and path.is_file()
    )


def _where_specs_are() -> str:
    return f"specs are YAML files in {specs_dir()}"


def _in_file_order(problems: list[SpecProblem]) -> list[SpecProblem]:
    """Sorted by place; of several findings about one value the first, which knows most."""
    first: dict[tuple[Path, int, int, str], SpecProblem] = {}
    for problem in problems:
        place = (problem.file, problem.line, problem.column, problem.yaml_path)
        first.setdefault(place, problem)
    return [first[key] for key in sorted(first)]
