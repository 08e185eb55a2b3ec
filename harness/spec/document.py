"""The spec language: which keys a YAML file may have, and of which type.

What goes beyond types is in `checks`.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from harness.vocabulary import Mode, Target

_T = TypeVar("_T")

IDENTIFIER = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(gt=0)]
# Wider than any device; keeps a typo from becoming a size no one notices.
SequenceLength = Annotated[int, Field(gt=1, le=131_072)]
Filled = Annotated[tuple[_T, ...], Field(min_length=1)]


class Section(BaseModel):
    """A mapping of the spec: strict types, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class CheckpointSection(Section):
    """Either `path` (a folder, relative to the spec) or `hub` with `revision`."""

    path: Text | None = None
    hub: Text | None = None
    revision: Text | None = None


class RecipeSection(Section):
    """Quantisation by ExecuTorch's names: activation bits, "a", weight bits, "w".

    What stands here is what the compiler makes today; the lists grow with it.
    """

    quantization: Literal["16a8w"]
    kv_cache_bits: Literal[16]


class ImageSection(Section):
    """`path` (relative to the spec), or `package` + `path` + `sha256`, or `url` + `sha256`."""

    path: Text | None = None
    package: Identifier | None = None
    url: Text | None = None
    sha256: Sha256 | None = None


def list_images(value: Any) -> tuple[Any, ...]:
    """One picture or a list of them, each a path or a mapping, as a tuple of mappings."""
    entries = value if isinstance(value, tuple) else (value,)
    return tuple({"path": entry} if isinstance(entry, str) else entry for entry in entries)


_OneImage = Text | ImageSection
Images = Annotated[
    Filled[ImageSection],
    BeforeValidator(list_images, json_schema_input_type=_OneImage | Filled[_OneImage]),
]


class CalibrationSection(Section):
    """One calibration sample."""

    image: Images
    prompt: Text


class ExpectSection(Section):
    """Words and phrases of the reply."""

    all_of: tuple[Text, ...] = ()
    any_of: tuple[Text, ...] = ()
    none_of: tuple[Text, ...] = ()


class CaseSection(Section):
    """One question about pictures."""

    image: Images
    prompt: Text
    max_new_tokens: Count
    expect: ExpectSection


class ConditionsSection(Section):
    """The conditions that a threshold holds for."""

    mode: Mode
    max_seq_len: SequenceLength
    target: Target = "silicon"
    backend: Literal["qnn"] = "qnn"
    note: Text | None = None


class FloorSection(ConditionsSection):
    """Lower bounds; besides these keys one `sm8650_token_rate` per SoC."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(gt=0)]]

    metric: Text


class CeilingSection(ConditionsSection):
    """Upper bounds of sizes."""

    vision_encoder_pte_size_bytes: Count | None = None
    tok_embedding_pte_size_bytes: Count | None = None
    text_decoder_pte_size_bytes: Count | None = None


class Document(Section):
    """A whole spec file."""

    schema_version: Literal[1] = Field(alias="schema")
    extends: Text | None = None
    model: Identifier
    family: Identifier
    checkpoint: CheckpointSection
    recipe: RecipeSection
    max_seq_len: SequenceLength
    prefill_ar_len: Count
    modes: Filled[Mode]
    calibration: Filled[CalibrationSection]
    cases: Annotated[dict[Identifier, CaseSection], Field(min_length=1)]
    floors: tuple[FloorSection, ...] = ()
    ceilings: tuple[CeilingSection, ...] = ()


def known_keys(path: Iterable[str | int]) -> tuple[str, ...]:
    """The keys of the mapping at a path of the document; empty where the user chooses them.

    The path is pydantic's: a single picture has an index there as well.
    """
    kind: Any = Document
    for part in path:
        kind = _annotation_below(kind, part)
    return tuple(_fields(kind)) if _is_section(kind) else ()


def _annotation_below(kind: Any, part: str | int) -> Any:
    if _is_section(kind):
        annotation = _fields(kind).get(str(part))
    else:
        inner = [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
        annotation = inner[-1] if inner else None
    if typing.get_origin(annotation) is Annotated:
        return typing.get_args(annotation)[0]
    return annotation


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _fields(section: type[Section]) -> dict[str, Any]:
    return {info.alias or name: info.annotation for name, info in section.model_fields.items()}
