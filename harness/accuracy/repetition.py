"""Replies that got stuck: the same words again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_TIMES = 4
_TIMES_OF_PHRASE = 3
_PHRASE = 3
_LONGEST_PERIOD = 64


@dataclass(frozen=True)
class Loop:
    """A block of `period` items that stands `times` times in a row, from `start` on."""

    start: int
    period: int
    times: int


def find_loop(items: Sequence[Hashable]) -> Loop | None:
    """The first degenerate loop in a sequence of words or token ids, None if there is none.

    One or two items count when they stand four times in a row ("very very very very"), three
    or more when they stand three times: people say a word twice or thrice, never a sentence.
    The shortest block is told.
    """
    for period in range(1, min(len(items) // _TIMES_OF_PHRASE, _LONGEST_PERIOD) + 1):
        least = _TIMES_OF_PHRASE if period >= _PHRASE else _TIMES
        equal = 0
        for index in range(period, len(items) + 1):
            if index < len(items) and items[index] == items[index - period]:
                equal += 1
                continue
            times = equal // period + 1
            if times >= least:
                return Loop(index - equal - period, period, times)
            equal = 0
    return None
