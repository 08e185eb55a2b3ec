"""kv, hybrid and lookahead give the same replies.

The default run takes a pairwise cover of variant, turns, pictures and mode;
`VLM_AGREEMENT=all` (`tox -e agreement`) takes every combination.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest

from tests.cpp.conftest import Toy

VARIANTS = (
    "wide_float",
    "wide_uint16_shared",
    "wide_uint16_separate",
    "wide_uint8_shared",
    "wide_uint8_separate",
)
COUNTS = (1, 2, 3)
MODES = ("hybrid", "lookahead")
TIE_STEPS = 2


@dataclass(frozen=True)
class Combination:
    variant: str
    n_turns: int
    n_images: int
    mode: str

    def __str__(self) -> str:
        return f"{self.variant}-{self.n_turns}_turns-{self.n_images}_images-{self.mode}"


def combinations() -> list[Combination]:
    if os.environ.get("VLM_AGREEMENT") == "all":
        return [
            Combination(*values) for values in itertools.product(VARIANTS, COUNTS, COUNTS, MODES)
        ]
    return [
        Combination(variant, COUNTS[j], COUNTS[(i + j) % 3], MODES[(i + j) % 2])
        for i, variant in enumerate(VARIANTS)
        for j in range(len(COUNTS))
    ]


def test_default_combinations_cover_every_pair() -> None:
    values = {"variant": VARIANTS, "n_turns": COUNTS, "n_images": COUNTS, "mode": MODES}
    for first, second in itertools.combinations(values, 2):
        seen = {(getattr(c, first), getattr(c, second)) for c in combinations()}
        assert seen == set(itertools.product(values[first], values[second]))


@pytest.mark.parametrize("combination", combinations(), ids=str)
def test_modes_reply_alike(open_toy: Callable[[str], Toy], combination: Combination) -> None:
    toy = open_toy(combination.variant)
    name = f"{combination.n_turns}-{combination.n_images}"
    turns = {
        mode: toy.run(toy.conversation(name, mode, record_logits="top2")).turns
        for mode in ("kv", combination.mode)
    }
    kv, other = turns["kv"], turns[combination.mode]
    assert [turn["generated_token_ids"] for turn in kv] == toy.expected["conversations"][name]["kv"]
    for number, (expected, turn) in enumerate(zip(kv, other, strict=True)):
        if expected["generated_token_ids"] != turn["generated_token_ids"]:
            assert "float" not in combination.variant
            assert_parts_at_a_tie(number, expected, turn)
            return  # what follows another reply is another conversation


def assert_parts_at_a_tie(number: int, expected: dict[str, Any], turn: dict[str, Any]) -> None:
    """At the first difference the two best logits of both lie within two quantisation steps."""
    pairs = zip_longest(expected["generated_token_ids"], turn["generated_token_ids"])
    position = next(i for i, (a, b) in enumerate(pairs) if a != b)
    margins = [
        best[1] - second[1]
        for best, second in (t["logits"]["top"][position] for t in (expected, turn))
    ]
    assert max(margins) <= TIE_STEPS, f"turn {number}, token {position}: margins {margins}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_toys_say_different_things(open_toy: Callable[[str], Toy], variant: str) -> None:
    # Guards the tests above: a model that always says the same would prove nothing.
    # Conversations that begin alike are answered alike, so it goes by what was said so far.
    replies = {}
    for talk in open_toy(variant).expected["conversations"].values():
        for number, reply in enumerate(talk["kv"]):
            replies[repr(talk["turns"][: number + 1])] = tuple(reply)
    assert len(replies) >= 9
    assert len(set(replies.values())) > len(replies) * 3 // 4
    assert len({token for reply in replies.values() for token in reply}) > 15


def test_lookahead_on_a_text_that_repeats_needs_fewer_steps(
    open_toy: Callable[[str], Toy],
) -> None:
    toy = open_toy("repeats")
    kv = toy.run(toy.request("one_step", "kv", fixed_tokens=80)).turn
    ahead = toy.run(toy.request("one_step", "lookahead", fixed_tokens=80)).turn
    assert ahead["generated_token_ids"] == kv["generated_token_ids"]
    assert kv["decode_steps"] == 79
    assert ahead["decode_steps"] <= 0.7 * kv["decode_steps"]
    counts = ahead["lookahead"]
    assert counts["accepted"] == kv["decode_steps"] - ahead["decode_steps"]
    assert counts["accepted"] <= counts["proposed"]


def test_lookahead_seeded_sampling_draws_what_kv_draws(toy_wide: Toy) -> None:
    sampling = {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": 11}
    replies = [
        [
            turn["generated_token_ids"]
            for turn in toy_wide.run(toy_wide.conversation("2-1", mode, sampling=sampling)).turns
        ]
        for mode in ("kv", "hybrid", "lookahead")
    ]
    assert replies[0] == replies[1] == replies[2]
    assert replies[0] != toy_wide.expected["conversations"]["2-1"]["kv"]


def test_lookahead_stops_when_its_wide_graph_has_no_room(toy_wide: Toy) -> None:
    kv = toy_wide.run(toy_wide.request("one_step", "kv", max_new_tokens=200)).turn
    result = toy_wide.run(toy_wide.request("one_step", "lookahead", max_new_tokens=200))
    reply = result.turn["generated_token_ids"]
    assert result.report is not None
    assert result.turn["stop_reason"] == "context_full"
    room = result.report["context_length"] - result.report["decode_ar_len"]
    assert len(reply) == room - result.turn["prompt_tokens"] + 1
    assert kv["generated_token_ids"][: len(reply)] == reply


def test_lookahead_iterations_are_alike(toy_wide: Toy) -> None:
    request = toy_wide.conversation("2-2", "lookahead", warmup=1, repeat=2)
    report = toy_wide.run(request).report
    assert report is not None
    told = [
        [(turn["generated_token_ids"], turn["lookahead"]) for turn in iteration["turns"]]
        for iteration in report["iterations"]
    ]
    assert told[0] == told[1] == told[2]
    assert [iteration["warmup"] for iteration in report["iterations"]] == [True, False, False]


@pytest.fixture
def toy_wide(open_toy: Callable[[str], Toy]) -> Toy:
    return open_toy("wide_float")
