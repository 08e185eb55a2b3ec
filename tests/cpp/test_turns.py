"""Turns, repeats, fixed and forced tokens, sampling, and what is recorded of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cpp.conftest import Toy

USAGE, CONTRACT, TOO_LONG = 64, 67, 71
LOGITS_SCALE = 0.0004  # of the quantised toys


def tokens_of(iteration: dict[str, Any]) -> list[list[int]]:
    return [turn["generated_token_ids"] for turn in iteration["turns"]]


@pytest.mark.parametrize("mode", ["kv", "hybrid"])
@pytest.mark.parametrize("variant", ["wide_float", "wide_uint8_separate"])
def test_conversation_answers_as_pytorch(
    open_toy: Callable[[str], Toy], variant: str, mode: str
) -> None:
    toy = open_toy(variant)
    turns = toy.run(toy.conversation("3-2", mode)).turns
    replies = [turn["generated_token_ids"] for turn in turns]
    assert replies == toy.expected["conversations"]["3-2"][mode]
    ends = [reply[-1] == toy.expected["stop_token_id"] for reply in replies]
    # The end of a reply enters the cache with the next turn.
    lengths = [len(ids) for ids in toy.expected["conversations"]["3-2"]["turns"]]
    assert turns[0]["prompt_tokens"] == lengths[0]
    assert turns[1]["prompt_tokens"] == lengths[1] + (1 if ends[0] else 2)


def test_separate_encodings_requantise_each_entry_once_in_every_turn(
    open_toy: Callable[[str], Toy],
) -> None:
    toy = open_toy("wide_uint8_separate")
    first, second = toy.run(toy.conversation("2-1", "hybrid")).turns
    per_token = toy.expected["cache_scalars_per_token"]
    assert first["requantized_entries"] == first["prompt_tokens"] * per_token
    # What was decoded is requantised for the prefill graph, the new prompt for the decode graph.
    decoded = len(first["generated_token_ids"]) - 1
    assert second["requantized_entries"] == (decoded + second["prompt_tokens"]) * per_token


@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_repeats_start_from_nothing(toy: Toy, mode: str) -> None:
    report = toy.run(toy.request(mode=mode, warmup=1, repeat=3)).report
    assert report is not None
    replies = [tokens_of(iteration) for iteration in report["iterations"]]
    assert replies == [[toy.answer("two_images", mode)]] * 4
    assert [iteration["warmup"] for iteration in report["iterations"]] == [
        True,
        False,
        False,
        False,
    ]


def test_command_line_takes_the_place_of_the_requests_amounts(toy: Toy) -> None:
    answer = toy.answer("two_images", "kv")
    request = toy.request(warmup=3, stop_token_ids=[answer[1]], max_new_tokens=3)
    report = toy.run(request, None, "--warmup", "1", "--repeat", "2", "--fixed-tokens=6").report
    assert report is not None
    assert [iteration["warmup"] for iteration in report["iterations"]] == [True, False, False]
    assert [tokens_of(iteration) for iteration in report["iterations"]] == [[answer[:6]]] * 3
    settings = report["settings"]
    assert (settings["warmup"], settings["repeat"], settings["fixed_tokens"]) == (1, 2, 6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--repeat", "0"], "--repeat is '0', expected 1 to 1000000"),
        (["--fixed-tokens", "many"], "--fixed-tokens is 'many', expected 1 to"),
        (["--observer", "old"], "expected 2026-07, 2026-03 or seed"),
    ],
)
def test_command_line_that_is_wrong_says_what_is_allowed(
    toy: Toy, options: list[str], problem: str
) -> None:
    result = toy.run(toy.request(), None, *options)
    assert result.exit_code == USAGE
    assert problem in result.message
    assert "usage: vlm_runner" in result.message


def test_fixed_tokens_ignore_stop_ids(toy: Toy) -> None:
    answer = toy.answer("two_images", "kv")
    turn = toy.run(toy.request(stop_token_ids=[answer[1]], fixed_tokens=6)).turn
    assert turn["generated_token_ids"] == answer[:6]
    assert turn["stop_reason"] == "fixed_tokens"


def test_fixed_tokens_that_cannot_fit_are_refused(toy: Toy) -> None:
    result = toy.run(toy.request(fixed_tokens=50))
    assert result.exit_code == TOO_LONG
    assert "a reply of 50 tokens" in result.message
    assert "at most 13 fit" in result.message


@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_forcing_the_models_own_reply_gives_it_back(toy: Toy, mode: str) -> None:
    reply = toy.answer("two_images", mode)[:7]
    turn = toy.run(toy.request(mode=mode, teacher_forced_token_ids=reply)).turn
    assert turn["generated_token_ids"] == reply
    assert turn["stop_reason"] == "teacher_forced"


def test_forcing_another_reply_changes_what_follows(toy: Toy) -> None:
    reply = toy.answer("two_images", "kv")[:7]
    forced = [*reply[:2], (reply[2] + 1) % 60, *reply[3:]]
    turn = toy.run(toy.request(teacher_forced_token_ids=forced)).turn
    assert turn["generated_token_ids"][:3] == reply[:3]
    assert turn["generated_token_ids"] != reply


def test_forced_lookahead_gives_the_argmaxes_of_kv(open_toy: Callable[[str], Toy]) -> None:
    toy = open_toy("wide_float")
    forced = [5, 9, 14, 3, 60]
    turns = [
        toy.run(toy.request("one_step", mode, teacher_forced_token_ids=forced)).turn
        for mode in ("kv", "lookahead")
    ]
    assert turns[0]["generated_token_ids"] == turns[1]["generated_token_ids"]


@pytest.mark.parametrize("variant", ["float", "uint16_same"])
def test_full_logits_are_dequantised_rows_of_measured_iterations(
    open_toy: Callable[[str], Toy], variant: str, tmp_path: Path
) -> None:
    toy = open_toy(variant)
    result = toy.run(
        toy.request(
            max_new_tokens=4, warmup=1, repeat=2, record_logits="full", logits_path="logits.bin"
        )
    )
    assert result.report is not None
    vocab = toy.expected["vocab_size"]
    data = (tmp_path / "logits.bin").read_bytes()
    assert len(data) == 2 * 4 * vocab * 4
    rows = [
        struct.unpack_from(f"<{vocab}f", data, row * vocab * 4)
        for row in range(len(data) // vocab // 4)
    ]
    for row, top in zip(rows, result.turns[0]["logits"]["top"] * 2, strict=True):
        for token, raw in top:
            logits = result.turns[0]["logits"]
            value = (raw - logits["zero_point"]) * logits["scale"]
            assert row[token] == pytest.approx(value, rel=1e-6)
        assert row.index(max(row)) == top[0][0]


def test_sampling_with_a_seed_repeats_and_with_another_does_not(toy: Toy) -> None:
    def reply(seed: int) -> list[list[int]]:
        sampling = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": seed}
        report = toy.run(toy.request(sampling=sampling, repeat=2)).report
        assert report is not None
        first, second = (tokens_of(iteration) for iteration in report["iterations"])
        assert first == second
        return first

    assert reply(1) == reply(1)
    assert reply(1) != reply(2)


def test_reply_that_ends_with_the_placeholders_id_is_text_in_every_mode(toy: Toy) -> None:
    """Its last token enters the cache with the next turn, whose pictures do not go there."""
    placeholder = toy.expected["image_token_id"]
    replies = []
    for mode in ("kv", "hybrid"):
        request = toy.request("one_token", mode, max_new_tokens=4, record_logits="top2")
        request["turns"] = [
            {**toy.turn("one_token"), "teacher_forced_token_ids": [1, placeholder]},
            toy.turn("one_token"),
        ]
        last = toy.run(request).turns[1]
        replies.append((last["generated_token_ids"], last["logits"]["top"][0][0][1]))
    assert replies[0][0] == replies[1][0]
    assert replies[0][1] == pytest.approx(replies[1][1], rel=1e-4)


@pytest.mark.parametrize("scale", [0.0, -0.0004, 1e300])
def test_logits_scale_that_is_none_is_refused(
    open_toy: Callable[[str], Toy], tmp_path: Path, scale: float
) -> None:
    toy = open_toy("uint16_same")
    whole = (toy.dir / "text_decoder.pte").read_bytes()
    good = struct.pack("<d", LOGITS_SCALE)
    assert good in whole  # the graphs' own quantisation has it, too
    (tmp_path / "scaled.pte").write_bytes(whole.replace(good, struct.pack("<d", scale)))
    result = toy.run(toy.request(text_decoder_pte="scaled.pte", record_logits="top2"))
    assert result.exit_code == CONTRACT, result.stderr
    assert "get_logits_scale" in result.message
    assert "expected a positive number" in result.message


def test_sampling_the_best_of_one_is_greedy(toy: Toy) -> None:
    sampling = {"temperature": 1.0, "top_k": 1, "top_p": 1.0, "seed": 1}
    turn = toy.run(toy.request(sampling=sampling)).turn
    assert turn["generated_token_ids"] == toy.answer("two_images", "kv")


def test_max_seq_len_bounds_prompt_and_reply(open_toy: Callable[[str], Toy]) -> None:
    toy = open_toy("short")
    for mode in ("kv", "hybrid"):
        result = toy.run(toy.request("one_step", mode))
        assert result.turn["generated_token_ids"] == toy.answer("one_step", mode)
        assert result.turn["stop_reason"] == "context_full"
        assert result.turn["prompt_tokens"] + len(result.turn["generated_token_ids"]) == 20
        assert result.report is not None
        assert result.report["max_seq_len"] == 20
        assert result.report["context_length"] == 32
    result = toy.run(toy.request("many_steps"))
    assert result.exit_code == TOO_LONG
    assert "20 tokens, at most 19" in result.message


@pytest.mark.parametrize("length", [20, 21, 22])
def test_hybrid_prompt_up_to_the_context_where_widths_do_not_divide(
    open_toy: Callable[[str], Toy], length: int
) -> None:
    # Context 23, steps of 5: a fifth step would need 20 of 18 cache columns.
    toy = open_toy("planned")
    ids = [1 + (3 * i) % 5 for i in range(length)]
    turns = [
        toy.run(toy.request("one_token", mode, prompt_token_ids=ids)).turn
        for mode in ("kv", "hybrid")
    ]
    assert turns[0]["generated_token_ids"] == turns[1]["generated_token_ids"]
    assert len(turns[1]["timestamps_ns"]["prefill_steps"]) == 4 + length - 20
