"""From YAML files to specs."""

from __future__ import annotations

import difflib
from pathlib import Path

from harness.errors import InputError, SpecError, SpecProblem
from harness.socs import SOC_TABLE_NAME, specs_dir
from harness.spec.checks import SIZE_SUFFIX, check_rules, image_sha256, rate_soc
from harness.spec.document import (
    CaseSection,
    CeilingSection,
    CheckpointSection,
    ConditionsSection,
    Document,
    FloorSection,
    ImageSection,
    LookaheadSection,
    RecipeSection,
)
from harness.spec.images import ImageSource
from harness.spec.inherit import read_source
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
from harness.spec.recipe import Recipe, build_component_recipe, merge_values
from harness.spec.typecheck import check_types
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS, Lookahead

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
        document = check_types(source)
    if source.problems or document is None:
        raise SpecError(path, _in_file_order(source.problems))
    return _build(source, document)


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
    first: dict[tuple[int, int, str], SpecProblem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column, problem.yaml_path), problem)
    return [first[key] for key in sorted(first)]


def _build(source: YamlSource, document: Document) -> Spec:
    folder = source.file.parent
    return Spec(
        path=source.file,
        model=document.model,
        family=document.family,
        checkpoint=_build_checkpoint(folder, document.checkpoint),
        recipe=_build_recipe(source, document.recipe),
        max_seq_len=document.max_seq_len,
        max_context_len=document.max_context_len or document.max_seq_len,
        prefill_ar_len=document.prefill_ar_len,
        lookahead=_build_lookahead(document.lookahead),
        modes=document.modes,
        calibration=_build_calibration(source, document),
        cases={name: _build_case(source, name, case) for name, case in document.cases.items()},
        floors=tuple(
            _build_floor(source, index, floor) for index, floor in enumerate(document.floors)
        ),
        ceilings=tuple(
            _build_ceiling(source, index, ceiling)
            for index, ceiling in enumerate(document.ceilings)
        ),
    )


def _build_recipe(source: YamlSource, section: RecipeSection) -> Recipe:
    values = section.model_dump()
    components = {
        name: build_component_recipe(merge_values(values, name), name) for name in COMPONENTS
    }
    return Recipe(components, source.place_of(("recipe",), key=True).line)


def _build_lookahead(section: LookaheadSection | None) -> Lookahead | None:
    return None if section is None else Lookahead(section.window, section.ngram, section.gcap)


def _build_calibration(source: YamlSource, document: Document) -> tuple[CalibrationSample, ...]:
    chosen = document.calibration
    samples = document.calibration_sets[chosen] if isinstance(chosen, str) else chosen
    return tuple(
        CalibrationSample(_build_images(source, sample.image), sample.prompt) for sample in samples
    )


def _build_checkpoint(folder: Path, section: CheckpointSection) -> CheckpointRef:
    path = section.path if section.random is None else section.random
    return CheckpointRef(
        None if path is None else (folder / path).resolve(),
        section.hub,
        section.revision,
        seed=None if section.random is None else section.seed,
    )


def _build_case(source: YamlSource, name: str, section: CaseSection) -> Case:
    expect = section.expect
    return Case(
        name=name,
        images=_build_images(source, section.image),
        prompt=section.prompt,
        max_new_tokens=section.max_new_tokens,
        expect=Expectation(expect.all_of, expect.any_of, expect.none_of),
        place=_place(source, ("cases", name)),
    )


def _build_images(
    source: YamlSource, sections: tuple[ImageSection, ...]
) -> tuple[ImageSource, ...]:
    return tuple(_build_image(source, section) for section in sections)


def _build_image(source: YamlSource, section: ImageSection) -> ImageSource:
    sha256 = image_sha256(source.file, section.model_dump())
    if sha256 is None:  # the checks let no picture pass that has none
        raise AssertionError(f"{source.file}: a picture without sha256")
    if section.package is not None:
        return ImageSource(sha256, package=section.package, package_path=section.path)
    if section.url is not None:
        return ImageSource(sha256, url=section.url)
    return ImageSource(sha256, path=(source.file.parent / str(section.path)).resolve())


def _build_floor(source: YamlSource, index: int, section: FloorSection) -> Floor:
    rates = section.model_extra or {}
    return Floor(
        metric=section.metric,
        holds_for=_build_conditions(section),
        per_soc={str(rate_soc(key)): value for key, value in rates.items()},
        note=section.note,
        place=_place(source, ("floors", index)),
    )


def _build_ceiling(source: YamlSource, index: int, section: CeilingSection) -> Ceiling:
    bounds = {name: getattr(section, name + SIZE_SUFFIX) for name in COMPONENTS}
    return Ceiling(
        holds_for=_build_conditions(section),
        pte_size_bytes={name: size for name, size in bounds.items() if size is not None},
        note=section.note,
        place=_place(source, ("ceilings", index)),
    )


def _build_conditions(section: ConditionsSection) -> Conditions:
    return Conditions(section.mode, section.max_seq_len, section.target, section.backend)


def _place(source: YamlSource, path: YamlPath) -> SpecPlace:
    place = source.place_of(path, key=True)
    return SpecPlace(place.file, place.line)
