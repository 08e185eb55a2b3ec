"""From a checked document to a spec: frozen, every path resolved."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from harness.perf.plan import FitLimits, Plan
from harness.spec.cpu_recipe import KEY as CPU_KEY
from harness.spec.cpu_recipe import build_cpu_recipe
from harness.spec.demand_checks import SIZE_SUFFIX, soc_of_key
from harness.spec.demands import (
    CeilingSection,
    ConditionsSection,
    FloorSection,
    MeasurementSection,
    QuestionsDocument,
    QuestionsSection,
)
from harness.spec.document import (
    CaseSection,
    CheckpointSection,
    Document,
    LookaheadSection,
    RecipeSection,
)
from harness.spec.image_checks import image_sha256
from harness.spec.images import ImageSource, beside
from harness.spec.model import (
    Accuracy,
    AgreementDemand,
    CalibrationSample,
    Case,
    CheckpointRef,
    Conditions,
    Expectation,
    LogitsDemand,
    MeasuringRule,
    MetricBound,
    PerplexityDemand,
    QuestionSet,
    SizeCeiling,
    Spec,
    SpecPlace,
    Turn,
)
from harness.spec.recipe import Recipe, build_component_recipe, merge_values
from harness.spec.section import ImageSection
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS, Lookahead


def build_spec(source: YamlSource, document: Document) -> Spec:
    """The spec of a file in which no mistake was found."""
    folder = source.file.parent
    return Spec(
        path=source.file,
        model=document.model,
        family=document.family,
        checkpoint=_build_checkpoint(folder, document.checkpoint),
        backend=document.backend,
        recipe=_build_recipe(source, document.recipe),
        recipe_xnnpack=build_cpu_recipe(
            document.recipe_xnnpack.model_dump(), source.place_of((CPU_KEY,), key=True).line
        ),
        max_seq_len=document.max_seq_len,
        max_context_len=document.max_context_len or document.max_seq_len,
        prefill_ar_len=document.prefill_ar_len,
        lookahead=_build_lookahead(document.lookahead),
        modes=document.modes,
        image_splitting=document.image_splitting,
        calibration=_build_calibration(source, document),
        cases={
            name: _build_case(source, name, case, document.image_splitting)
            for name, case in document.cases.items()
        },
        accuracy=_build_accuracy(source, document),
        floors=tuple(
            _build_bound(source, ("floors", index), floor)
            for index, floor in enumerate(document.floors)
        ),
        metric_ceilings=tuple(
            _build_bound(source, ("ceilings", index), ceiling)
            for index, ceiling in enumerate(document.ceilings)
            if ceiling.metric is not None
        ),
        size_ceilings=tuple(
            _build_size_ceiling(source, ("ceilings", index), ceiling)
            for index, ceiling in enumerate(document.ceilings)
            if ceiling.metric is None
        ),
        measurement=_build_measurement(document.measurement),
    )


def _build_measurement(section: MeasurementSection) -> MeasuringRule:
    values = section.model_dump()
    return MeasuringRule(
        fixed_tokens=section.fixed_tokens,
        warmup=section.warmup,
        limits=FitLimits(**{item.name: values[item.name] for item in fields(FitLimits)}),
        fit_wait_s=section.fit_wait_s,
        plan=Plan(
            cool_down_s=section.cool_down_s,
            budget_s=section.budget_s,
            most_samples=section.most_repeats,
        ),
    )


def _build_recipe(source: YamlSource, section: RecipeSection) -> Recipe:
    values = section.model_dump()
    components = {
        name: build_component_recipe(merge_values(values, name), name) for name in COMPONENTS
    }
    place = source.place_of(("recipe",), key=True)
    return Recipe(components, place.line, place.file)


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


def _build_case(source: YamlSource, name: str, section: CaseSection, splitting: bool) -> Case:
    asked = [(turn.image, turn.prompt) for turn in section.turns]
    *earlier, last = [
        Turn(_build_images(source, images), prompt)
        for images, prompt in asked or [(section.image, section.prompt)]
    ]
    return Case(
        name=name,
        images=last.images,
        prompt=last.prompt,
        max_new_tokens=section.max_new_tokens,
        expect=Expectation(**section.expect.model_dump()),
        place=_place(source, ("cases", name)),
        earlier_turns=tuple(earlier),
        splitting=splitting,
    )


def _build_accuracy(source: YamlSource, document: Document) -> Accuracy:
    section, splitting = document.accuracy, document.image_splitting
    if section is None:
        return Accuracy()
    agreement, logits, perplexity = section.agreement, section.logits, section.perplexity
    questions = section.questions
    return Accuracy(
        None if agreement is None else AgreementDemand(**agreement.model_dump()),
        None if logits is None else LogitsDemand(**logits.model_dump()),
        None if perplexity is None else PerplexityDemand(**perplexity.model_dump()),
        None if questions is None else _build_questions(source, questions, splitting),
    )


def _build_questions(source: YamlSource, section: QuestionsSection, splitting: bool) -> QuestionSet:
    asked = source.asked
    document = None if asked is None else asked.document
    if asked is None or not isinstance(document, QuestionsDocument):  # the checks read it
        raise AssertionError(f"{source.file}: questions that nobody read")
    cases, answers = {}, {}
    for index, question in enumerate(document.questions):
        name = f"question-{index}"  # no case of the spec can be called so
        cases[name] = Case(
            name=name,
            images=_build_images(asked, question.image),
            prompt=question.prompt,
            max_new_tokens=section.max_new_tokens,
            expect=Expectation(all_of=(question.answer,)),
            place=_place(asked, ("questions", index)),
            splitting=splitting,
        )
        answers[name] = question.answer
    place = _place(source, ("accuracy", "questions"))
    return QuestionSet(cases, answers, section.min_exact_rate, section.confidence, place)


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
    return ImageSource(sha256, path=beside(source.file.parent, str(section.path)))


def _build_bound(
    source: YamlSource, path: YamlPath, section: FloorSection | CeilingSection
) -> MetricBound:
    bounds = section.model_extra or {}
    return MetricBound(
        metric=str(section.metric),
        holds_for=_build_conditions(section),
        per_soc={str(soc_of_key(key)): value for key, value in bounds.items()},
        per_serial=section.per_serial,
        note=section.note,
        place=_place(source, path),
    )


def _build_size_ceiling(source: YamlSource, path: YamlPath, section: CeilingSection) -> SizeCeiling:
    bounds = {name: getattr(section, name + SIZE_SUFFIX) for name in COMPONENTS}
    return SizeCeiling(
        holds_for=_build_conditions(section),
        pte_size_bytes={name: size for name, size in bounds.items() if size is not None},
        note=section.note,
        place=_place(source, path),
    )


def _build_conditions(section: ConditionsSection) -> Conditions:
    return Conditions(section.mode, section.max_seq_len, section.target, section.backend)


def _place(source: YamlSource, path: YamlPath) -> SpecPlace:
    place = source.place_of(path, key=True)
    return SpecPlace(place.file, place.line)
