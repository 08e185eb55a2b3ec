"""What a reader wants to see of a wrong answer, line by line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.verdict import Verdict


def describe_wrong_answer(verdict: Verdict, reference: str | None) -> str:
    """Picture, prompt, what was expected, what came, and where it parts from the float model's.

    Args:
        verdict: of `harness.verdict.judge_answer`.
        reference: the float model's own reply, None where the bundle has none.
    """
    return "\n".join(f"  {name + ':':<11}{told}" for name, told in _lines(verdict, reference))


def _lines(verdict: Verdict, reference: str | None) -> Iterator[tuple[str, str]]:
    details = verdict.details
    pictures, expected, reply = details["pictures"], details["expected"], details["reply"]
    assert isinstance(pictures, Sequence)
    assert isinstance(expected, Mapping)
    for picture in pictures:
        yield "picture", str(picture)
    yield "prompt", repr(details["prompt"])
    yield "expected", "; ".join(f"{key} {_listed(value)}" for key, value in expected.items())
    yield "got", repr(reply)
    if reference is not None:
        yield (
            "reference",
            f"{reference!r}, the float model's; {_told_parting(str(reply), reference)}",
        )


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _told_parting(reply: str, reference: str) -> str:
    """Where the words of two replies part."""
    if reply == reference:
        return "the reply is the same"
    pairs = zip(reply.split(), reference.split(), strict=False)
    common = [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return f"the reply parts after {' '.join(common)!r}" if common else "it parts at once"
