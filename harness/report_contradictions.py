"""What a report of the runner cannot say, though each of its values is of the right type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report import Report, Turn


def contradictions(report: Report) -> Iterator[str]:
    """A sentence for each, with where it stands."""
    if not report.measured:
        yield "iterations: none but warm-ups"
    if any(end < begin for begin, end in report.load_ns.spans):
        yield "load_ns ends before it begins"
    for i, iteration in enumerate(report.iterations):
        if not iteration.turns:
            yield f"iterations.{i}.turns is empty"
        for j, turn in enumerate(iteration.turns):
            yield from (f"iterations.{i}.turns.{j}.{it}" for it in _turn_contradictions(turn))


def _turn_contradictions(turn: Turn) -> Iterator[str]:
    stamps = turn.timestamps_ns
    if len(stamps.tokens) != len(turn.generated_token_ids):
        yield (
            f"timestamps_ns.tokens: {len(stamps.tokens)} stamps "
            f"for {len(turn.generated_token_ids)} generated tokens"
        )
    if turn.prompt_tokens < 1:
        yield f"prompt_tokens is {turn.prompt_tokens}"
    spans = {
        "prefill": [stamps.prefill],
        "images": stamps.images,
        "prefill_steps": stamps.prefill_steps,
    }
    for name, members in spans.items():
        if any(end < begin for begin, end in members):
            yield f"timestamps_ns.{name} ends before it begins"
    course = [stamps.inference_start, *stamps.tokens, stamps.inference_end]
    if not _rises(course):
        yield "timestamps_ns run backwards"


def _rises(values: Sequence[int]) -> bool:
    return all(earlier <= later for earlier, later in pairwise(values))
