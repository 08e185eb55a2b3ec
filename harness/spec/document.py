"""The spec language: which keys a YAML file may have, and of which type.

What goes beyond types is in `checks`.
"""

import typing
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.spec.demands import (
    AccuracySection,
    CeilingSection,
    ExpectSection,
    FloorSection,
    MeasurementSection,
)
from harness.spec.section import Count, Filled, Identifier, Images, Section, SequenceLength, Text
from harness.vocabulary import (
    Backend,
    CpuQuantization,
    Encodings,
    FamilyName,
    Mode,
    Observer,
    PerformanceMode,
    Quantization,
)


class CheckpointSection(Section):
    """`path` (a folder, relative to the spec), or `hub` with `revision`, or `random`.

    `random` is a folder with a `config.json`: that model with weights drawn from `seed`.
    """

    path: Text | None = None
    hub: Text | None = None
    revision: Text | None = None
    random: Text | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class ExceptionSection(Section):
    """Layers that are quantised otherwise; `layers` is a regular expression."""

    layers: Text
    quantization: Quantization
    block_size: Count | None = None


class ComponentRecipeSection(Section):
    """How one component is quantised."""

    quantization: Quantization | None = None
    observer: Observer | None = None
    block_size: Count | None = None
    exceptions: tuple[ExceptionSection, ...] | None = None


class DecoderRecipeSection(ComponentRecipeSection):
    """What only the decoder has: a cache, several graphs, many layers."""

    kv_cache_bits: Literal[8, 16, 32] | None = None
    encodings: Encodings | None = None
    num_shards: Count | None = None


class RecipeSection(Section):
    """Keys for all three components, and per component what differs."""

    vision_encoder: ComponentRecipeSection | None = None
    tok_embedding: ComponentRecipeSection | None = None
    text_decoder: DecoderRecipeSection | None = None
    quantization: Quantization | None = None
    observer: Observer | None = None
    block_size: Count | None = None
    kv_cache_bits: Literal[8, 16, 32] | None = None
    encodings: Encodings | None = None
    num_shards: Count | None = None
    performance_mode: PerformanceMode | None = None


class CpuComponentSection(Section):
    """How one component is quantised for the CPU; "d": activations at run time."""

    quantization: CpuQuantization | None = None
    block_size: Count | None = None


class CpuDecoderSection(CpuComponentSection):
    """What only the decoder has: a cache."""

    kv_cache_bits: Literal[8, 16, 32] | None = None


class CpuRecipeSection(Section):
    """Keys for all three components, and per component what differs."""

    vision_encoder: CpuComponentSection | None = None
    tok_embedding: CpuComponentSection | None = None
    text_decoder: CpuDecoderSection | None = None
    quantization: CpuQuantization | None = None
    block_size: Count | None = None
    kv_cache_bits: Literal[8, 16, 32] | None = None


class LookaheadSection(Section):
    """Lookahead decoding: tokens guessed ahead, length of the n-grams, guesses verified."""

    window: Count
    ngram: Annotated[int, Field(gt=1)]
    gcap: Count


class CalibrationSection(Section):
    """One calibration sample."""

    image: Images
    prompt: Text


def _calibration_form(value: Any) -> str:
    return "name" if isinstance(value, str) else "list"


Calibration = Annotated[
    Annotated[Identifier, Tag("name")] | Annotated[Filled[CalibrationSection], Tag("list")],
    Discriminator(_calibration_form),
]


class TurnSection(Section):
    """What is said in one turn of a conversation; a picture need not be in every one."""

    image: Images = ()
    prompt: Text


class CaseSection(Section):
    """One question about pictures, or several turns of which the last one's reply is judged."""

    image: Images = ()
    prompt: Text = ""
    turns: Filled[TurnSection] = ()
    max_new_tokens: Count
    expect: ExpectSection


class Document(Section):
    """A whole spec file."""

    schema_version: Literal[1] = Field(alias="schema")
    extends: Text | None = None
    model: Identifier
    family: FamilyName
    checkpoint: CheckpointSection
    backend: Backend = "qnn"
    recipe: RecipeSection
    recipe_xnnpack: CpuRecipeSection = CpuRecipeSection()
    max_seq_len: SequenceLength
    max_context_len: SequenceLength | None = None
    prefill_ar_len: Count
    lookahead: LookaheadSection | None = None
    modes: Filled[Mode]
    image_splitting: bool = False
    calibration_sets: dict[Identifier, Filled[CalibrationSection]] = Field(default_factory=dict)
    calibration: Calibration
    cases: Annotated[dict[Identifier, CaseSection], Field(min_length=1)]
    accuracy: AccuracySection | None = None
    floors: tuple[FloorSection, ...] = ()
    ceilings: tuple[CeilingSection, ...] = ()
    measurement: MeasurementSection = Field(default_factory=MeasurementSection)


def known_keys(path: Iterable[str | int], document: type[Section] = Document) -> tuple[str, ...]:
    """The keys of the mapping at a path of a document; empty where the user chooses them.

    The path is pydantic's: a single picture has an index there as well.
    """
    kind: Any = document
    for part in path:
        kind = _annotation_below(kind, part)
    return tuple(_fields(kind)) if _is_section(kind) else ()


def _annotation_below(kind: Any, part: str | int) -> Any:
    if _is_section(kind):
        annotation = _fields(kind).get(str(part))
    else:
        inner = [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
        annotation = inner[-1] if inner else None
    return _bare(annotation)


def _bare(annotation: Any) -> Any:
    """Without Annotated and without None as an alternative."""
    if typing.get_origin(annotation) is Annotated:
        return _bare(typing.get_args(annotation)[0])
    kinds = [kind for kind in typing.get_args(annotation) if kind is not NoneType]
    if typing.get_origin(annotation) is UnionType and len(kinds) == 1:
        return _bare(kinds[0])
    return annotation


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _fields(section: type[Section]) -> dict[str, Any]:
    return {info.alias or name: info.annotation for name, info in section.model_fields.items()}
