from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RunnerError
from harness.report import Report, parse_report


def _parse(document: object) -> Report:
    return parse_report(json.dumps(document).encode())


def test_parse_report_valid_gives_its_values(report_document: dict[str, Any]) -> None:
    report = _parse(report_document)
    assert report.generated_token_ids == (5, 6, 2)
    assert report.timestamps_ns.load["text_decoder"] == (25_000_000, 60_000_000)
    assert report.logits is None


def test_parse_report_logits_are_pairs_of_id_and_value(report_document: dict[str, Any]) -> None:
    top = [[[5, 900], [6, 880]], [[6, 900], [5, 1]], [[2, 900], [5, 1]]]
    report_document["logits"] = {"scale": 0.5, "zero_point": 3, "top": top}
    logits = _parse(report_document).logits
    assert logits is not None
    assert logits.top[0] == ((5, 900.0), (6, 880.0))


def test_parse_report_key_of_a_newer_runner_is_let_through(report_document: dict[str, Any]) -> None:
    _parse({**report_document, "novelty": 1})


def test_parse_report_runners_own_error_is_told(report_document: dict[str, Any]) -> None:
    report_document["status"] = "error"
    report_document["error"] = {
        "exit_code": 12,
        "name": "load_failed",
        "message": "text_decoder.pte: error 1000",
        "step": "loading",
    }
    with pytest.raises(RunnerError) as caught:
        _parse(report_document)
    assert caught.value.exit_code == 12
    assert str(caught.value).startswith(
        "running the model (loading): load_failed: text_decoder.pte: error 1000"
    )


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_parse_report_garbage_is_a_runner_error(data: bytes) -> None:
    with pytest.raises(RunnerError, match="reading the runner's report"):
        parse_report(data)


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "schema": (lambda r: r.update(schema_version=2), "schema_version is 2"),
    "status": (lambda r: r.update(status="fine"), "status is 'fine'"),
    "error_untold": (lambda r: r.update(status="error"), "no error is told"),
    "missing": (lambda r: r.pop("memory"), "memory: Field required"),
    "number_as_text": (lambda r: r.update(prompt_tokens="40"), "prompt_tokens: Input should"),
    "stop_reason": (lambda r: r.update(stop_reason="tired"), "stop_reason: Input should"),
    "token_count": (lambda r: r["generated_token_ids"].pop(), "3 token time stamps for 2 gen"),
    "no_prompt": (lambda r: r.update(prompt_tokens=0), "prompt_tokens is 0"),
    "tokens_backwards": (lambda r: r["timestamps_ns"]["tokens"].reverse(), "run backwards"),
    "ends_early": (lambda r: r["timestamps_ns"].update(inference_end=1), "run backwards"),
    "span_backwards": (
        lambda r: r["timestamps_ns"].update(prefill=[5, 4]),
        "timestamps_ns.prefill ends before it begins",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_parse_report_broken_is_a_runner_error(report_document: dict[str, Any], name: str) -> None:
    change, message = BREAKS[name]
    document = copy.deepcopy(report_document)
    change(document)
    with pytest.raises(RunnerError) as caught:
        _parse(document)
    assert message in caught.value.problem


@given(
    tree=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
def test_parse_report_random_json_is_a_runner_error(tree: object) -> None:
    document = {"schema_version": 1, "status": "ok", "mode": tree, "timestamps_ns": tree}
    with pytest.raises(RunnerError):
        _parse(document)
