"""Damaged PTEs and requests are refused with a reason; nothing of ours crashes on them."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness.failures import exit_codes
from tests.cpp.conftest import RunnerResult, Toy

PTE_KEYS = ("vision_encoder_pte", "tok_embedding_pte", "text_decoder_pte")
FLIPPED_PTES, SPOILT_REQUESTS = 150, 50
CUT_PTES, DAMAGED_HEADERS = 60, 40
CODES = {row.code: row.name for row in exit_codes().values()}
HEADER_BYTES = 40


def assert_explained(result: RunnerResult) -> None:
    """Refused by the runner itself, with a code of the table and one line."""
    assert CODES.get(result.exit_code, "ok") != "ok", (result.exit_code, result.stderr)
    assert result.message.count(": ") >= 2, result.stderr
    assert result.report is not None
    assert result.report["status"] == "error"
    assert result.report["error"]["exit_code"] == result.exit_code


def with_sums(request: dict[str, Any]) -> dict[str, Any]:
    """The request with the sha256 of each file it names."""
    names = [request[key] for key in PTE_KEYS]
    names += [image["path"] for turn in request["turns"] for image in turn["images"]]
    sums = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names}
    return {**request, "files_sha256": sums}


def flipped(data: bytes, rng: random.Random) -> bytes:
    """One bit the other way."""
    place = rng.randrange(len(data) * 8)
    damaged = bytearray(data)
    damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def test_runner_bit_flips_in_ptes_are_all_refused_by_their_sha256(toy: Toy, tmp_path: Path) -> None:
    rng = random.Random(4)
    request = with_sums(toy.request("two_images", "hybrid", max_new_tokens=2))
    for number in range(FLIPPED_PTES):
        key = PTE_KEYS[number % 3]
        damaged = tmp_path / "damaged.pte"
        damaged.write_bytes(flipped(Path(request[key]).read_bytes(), rng))
        sums = {**request["files_sha256"], str(damaged): request["files_sha256"][request[key]]}
        result = toy.run({**request, key: str(damaged), "files_sha256": sums})
        assert_explained(result)
        assert CODES[result.exit_code] == "file_changed"
        assert "damaged.pte" in result.message


def spoilt(text: str, rng: random.Random) -> Iterator[str]:
    """Requests that are no JSON, no request, or ask for the impossible."""
    document = json.loads(text)
    keys = sorted(document)
    values: list[object] = [None, -1.5, 2**70, "a\0b", [[None]], {"x": [1]}]
    while True:
        yield text[: rng.randrange(len(text))]
        yield json.dumps({**document, rng.choice(keys): rng.choice(values)})
        dropped = rng.choice([key for key in keys if key != "files_sha256"])
        yield json.dumps({key: document[key] for key in keys if key != dropped})
        yield json.dumps({**document, f"unknown_{rng.randrange(9)}": 1})


def test_runner_spoilt_requests_are_all_refused(toy: Toy) -> None:
    good = json.dumps(with_sums(toy.request("two_images", "kv", max_new_tokens=2)))
    for text in islice(spoilt(good, random.Random(4)), SPOILT_REQUESTS):
        assert_explained(toy.run(text))


@pytest.mark.parametrize("key", PTE_KEYS)
def test_runner_cut_ptes_are_refused_without_any_sha256(toy: Toy, tmp_path: Path, key: str) -> None:
    rng = random.Random(key)
    whole = Path(toy.request()[key]).read_bytes()
    for _ in range(CUT_PTES // 3):
        (tmp_path / "cut.pte").write_bytes(whole[: rng.randrange(len(whole))])
        assert_explained(toy.run(toy.request("two_images", "hybrid", **{key: "cut.pte"})))


def test_runner_damaged_pte_headers_are_refused_without_any_sha256(
    toy: Toy, tmp_path: Path
) -> None:
    rng = random.Random(4)
    refused = 0
    while refused < DAMAGED_HEADERS:
        key = PTE_KEYS[refused % 3]
        whole = Path(toy.request()[key]).read_bytes()
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(4, HEADER_BYTES)] ^= rng.randrange(1, 256)
        if bytes(damaged) == whole or _tells_the_same(bytes(damaged), whole):
            continue
        (tmp_path / "damaged.pte").write_bytes(damaged)
        assert_explained(toy.run(toy.request("two_images", "hybrid", **{key: "damaged.pte"})))
        refused += 1


def _tells_the_same(damaged: bytes, whole: bytes) -> bool:
    """A program size that is off by less than the padding behind it harms nothing."""
    base = int.from_bytes(whole[24:32], "little")
    program, size = (int.from_bytes(data[16:24], "little") for data in (damaged, whole))
    same_rest = damaged[4:16] + damaged[24:40] == whole[4:16] + whole[24:40]
    return same_rest and size <= program <= base


HOSTILE: dict[str, tuple[Callable[[Toy], dict[str, Any]], str, str]] = {
    "empty_prompt": (
        lambda toy: toy.request("one_token", prompt_token_ids=[]),
        "bad_request",
        "prompt_token_ids",
    ),
    "gigantic_prompt": (
        lambda toy: toy.request("one_token", prompt_token_ids=[1] * 1_000_000),
        "prompt_too_long",
        "1000000 tokens",
    ),
    "outside_vocabulary": (
        lambda toy: toy.request("one_token", prompt_token_ids=[1, 2**31 - 1]),
        "bad_request",
        "prompt_token_ids[1]",
    ),
    "negative_id": (
        lambda toy: toy.request("one_token", prompt_token_ids=[-1]),
        "bad_request",
        "prompt_token_ids[0]",
    ),
    "gigantic_image": (
        lambda toy: toy.request(
            images=[{"path": "x.bin", "shape": [1, 3, 2**31 - 1, 2**31 - 1]}] * 2
        ),
        "bad_request",
        "images[0].shape[2]",
    ),
    "sum_of_no_file": (
        lambda toy: toy.request(files_sha256={"nowhere.pte": "0" * 64}),
        "file_unreadable",
        "nowhere.pte",
    ),
    "folder_as_file": (
        lambda toy: toy.request(files_sha256={"/": "0" * 64}),
        "file_unreadable",
        "'/'",
    ),
    "newline_in_a_key": (
        lambda toy: toy.request(**{"max_new_tok\nens": 1}),
        "bad_request",
        "unknown key 'max_new_tok?ens'",
    ),
    "newline_in_a_path": (
        lambda toy: toy.request(text_decoder_pte="no\nwhere.pte"),
        "file_unreadable",
        "no?where.pte",
    ),
    "sum_that_is_none": (
        lambda toy: toy.request(files_sha256={"x.pte": "abc"}),
        "bad_request",
        "files_sha256",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_runner_hostile_request_is_refused_by_name(toy: Toy, name: str) -> None:
    make, code, part = HOSTILE[name]
    result = toy.run(make(toy))
    assert_explained(result)
    assert CODES[result.exit_code] == code, result.message
    assert part in result.message
