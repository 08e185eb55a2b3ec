"""The base of every mapping in the spec language, and its kinds of values.

Modules of sections do without `from __future__ import annotations`: pydantic would compile
each annotation anew, a quarter of what it takes to import them.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_T = TypeVar("_T")

IDENTIFIER = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
# Wider than any device; keeps a typo from becoming a size no one notices.
SequenceLength = Annotated[int, Field(gt=1, le=131_072)]
Filled = Annotated[tuple[_T, ...], Field(min_length=1)]


class Section(BaseModel):
    """A mapping of the spec: strict types, no unknown keys."""

    # Validators are built when a spec is read, not when the module is imported.
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )


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
