"""The float model's greedy replies with what it nearly said: what accuracy is measured against.

A bundle holds one JSON file per case, made when the case was prepared. Where the spec bounds
the distance of logits it holds them all, and where it bounds perplexity the float model's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.accuracy.agreement import Candidate
from harness.errors import BundleCorrupt
from harness.spec.model import PERPLEXITY_CASE

if TYPE_CHECKING:
    from pydantic import TypeAdapter

REFERENCE_NAME = "reference.json"
_LOGITS_NAME = "reference_logits.bin"
_PERPLEXITY_NAME = "perplexity.json"
_STRICT = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True)
class TurnReference:
    """The float model's reply to one turn, the stop token included.

    `best` holds per token the two likeliest, the chosen one first. `stop_reason` is one of
    the runner's: stop_token, max_new_tokens or context_full.
    """

    __pydantic_config__ = _STRICT

    token_ids: tuple[int, ...]
    best: tuple[tuple[Candidate, Candidate], ...]
    stop_reason: str


@dataclass(frozen=True)
class Reference:
    """The replies to all turns of a case, each given the float model's own replies before."""

    __pydantic_config__ = _STRICT

    turns: tuple[TurnReference, ...]


@dataclass(frozen=True)
class FloatPerplexity:
    """How the float model takes the text of the perplexity demand, over `tokens` tokens."""

    __pydantic_config__ = _STRICT

    perplexity: float
    tokens: int


def reference_logits_name(case: str) -> str:
    """Where a bundle keeps all float logits of a case's last reply, a row per token."""
    return f"cases/{case}/{_LOGITS_NAME}"


def perplexity_name() -> str:
    """Where a bundle keeps a `FloatPerplexity`."""
    return f"cases/{PERPLEXITY_CASE}/{_PERPLEXITY_NAME}"


def read_float_perplexity(path: Path) -> FloatPerplexity:
    """Read what `write_float_perplexity` wrote.

    Raises:
        BundleCorrupt: it is missing or garbled.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(FloatPerplexity).validate_json(path.read_bytes())
    except (OSError, ValidationError) as err:
        raise BundleCorrupt(
            f"reading {path}", f"{err}".splitlines()[0], hint="compile the bundle anew"
        ) from err


def write_float_perplexity(path: Path, content: FloatPerplexity) -> None:
    """Write what `read_float_perplexity` reads."""
    path.write_text(json.dumps(asdict(content)) + "\n", encoding="utf-8")


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
