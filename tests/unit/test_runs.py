"""The request that the runner gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bundle import Bundle, load_bundle
from harness.report import Sampling
from harness.runs import RunRequest, request_json


@pytest.fixture
def bundle(make_bundle: Callable[..., Path], tmp_path: Path) -> Bundle:
    return load_bundle(make_bundle(tmp_path / "bundle"))


def _request(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    request = RunRequest(bundle, "blue", "hybrid", 16, 300.0, **changes)
    document: dict[str, Any] = json.loads(request_json(request))
    return document


def test_request_names_every_file_with_its_sha256(bundle: Bundle) -> None:
    document = _request(bundle)
    named = {document[f"{part}_pte"] for part in bundle.manifest.components}
    named |= {image["path"] for turn in document["turns"] for image in turn["images"]}
    assert set(document["files_sha256"]) == named
    for name, sha256 in document["files_sha256"].items():
        assert sha256 == bundle.manifest.files[name].sha256


def test_request_of_a_case_is_one_greedy_turn(bundle: Bundle) -> None:
    document = _request(bundle)
    (turn,) = document["turns"]
    assert turn["prompt_token_ids"] == list(bundle.manifest.cases["blue"].turns[0].prompt_token_ids)
    assert (document["schema_version"], document["warmup"], document["repeat"]) == (2, 0, 1)
    assert not {"sampling", "fixed_tokens", "logits_path", "lookahead"} & set(document)


def test_request_carries_what_was_asked_for(bundle: Bundle) -> None:
    document = _request(
        bundle,
        warmup=1,
        repeat=3,
        fixed_tokens=8,
        sampling=Sampling(0.7, 4, 0.9, 11),
        teacher_forced=(5, 2),
        record_logits="full",
    )
    assert (document["warmup"], document["repeat"], document["fixed_tokens"]) == (1, 3, 8)
    assert document["sampling"] == {"temperature": 0.7, "top_k": 4, "top_p": 0.9, "seed": 11}
    assert document["turns"][-1]["teacher_forced_token_ids"] == [5, 2]
    assert (document["record_logits"], document["logits_path"]) == ("full", "logits.bin")


def test_request_of_a_conversation_has_its_turns_in_order(bundle: Bundle) -> None:
    first = bundle.manifest.cases["blue"].turns[0]
    second = replace(first, prompt_token_ids=(4, 4), images=())
    case = replace(bundle.manifest.cases["blue"], turns=(first, second))
    longer = replace(bundle, manifest=replace(bundle.manifest, cases={"blue": case}))
    turns = _request(longer, teacher_forced=(5, 2))["turns"]
    assert [turn["prompt_token_ids"] for turn in turns] == [[1, 7, 3], [4, 4]]
    assert [len(turn["images"]) for turn in turns] == [1, 0]
    assert ["teacher_forced_token_ids" in turn for turn in turns] == [False, True]
