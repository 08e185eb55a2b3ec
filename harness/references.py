"""The float model's greedy replies with what it nearly said: what accuracy is measured against.

A bundle holds one JSON file per case, made when the case was prepared.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BundleCorrupt

if TYPE_CHECKING:
    from pydantic import TypeAdapter

REFERENCE_NAME = "reference.json"
_STRICT = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True)
class Choice:
    """A token and its float logit."""

    __pydantic_config__ = _STRICT

    token_id: int
    logit: float


@dataclass(frozen=True)
class TurnReference:
    """The float model's reply to one turn, the stop token included.

    `best` holds per token the two likeliest, the chosen one first. `stop_reason` is one of
    the runner's: stop_token, max_new_tokens or context_full.
    """

    __pydantic_config__ = _STRICT

    token_ids: tuple[int, ...]
    best: tuple[tuple[Choice, Choice], ...]
    stop_reason: str


@dataclass(frozen=True)
class Reference:
    """The replies to all turns of a case, each given the float model's own replies before."""

    __pydantic_config__ = _STRICT

    turns: tuple[TurnReference, ...]


def read_reference(path: Path) -> Reference:
    """Read a case's reference.

    Raises:
        BundleCorrupt: it is missing, garbled or contradicts itself.
    """
    from pydantic import ValidationError

    doing = f"reading {path}"
    try:
        reference = _adapter().validate_json(path.read_bytes())
    except OSError as err:
        raise BundleCorrupt(doing, f"{err.strerror}", hint="compile the bundle anew") from err
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleCorrupt(doing, f"{where}: {first['msg']}") from err
    for number, turn in enumerate(reference.turns):
        if len(turn.best) != len(turn.token_ids):
            problem = f"{len(turn.best)} choices for {len(turn.token_ids)} tokens"
            raise BundleCorrupt(doing, f"turns.{number}: {problem}")
    return reference


def write_reference(path: Path, reference: Reference) -> None:
    """Write what `read_reference` reads."""
    path.write_text(json.dumps(asdict(reference)) + "\n", encoding="utf-8")


@cache
def _adapter() -> TypeAdapter[Reference]:
    from pydantic import TypeAdapter

    return TypeAdapter(Reference)
