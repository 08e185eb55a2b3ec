from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RunnerError
from harness.report import LookaheadCounts, LookaheadShape, Report, Sampling, parse_report


def _parse(document: object) -> Report:
    return parse_report(json.dumps(document).encode())


def _turn(document: dict[str, Any]) -> dict[str, Any]:
    turn: dict[str, Any] = document["iterations"][0]["turns"][0]
    return turn


def test_parse_report_valid_gives_its_values(report_document: dict[str, Any]) -> None:
    report = _parse(report_document)
    (turn,) = report.iterations[0].turns
    assert turn.generated_token_ids == (5, 6, 2)
    assert report.load_ns.text_decoder == (25_000_000, 60_000_000)
    assert turn.execute_ns.decode == (9_000_000, 29_000_000)
    assert turn.logits is None


def test_parse_report_warm_up_is_not_among_the_measured(report_document: dict[str, Any]) -> None:
    (iteration,) = report_document["iterations"]
    report_document["iterations"] = [{**iteration, "warmup": True}, iteration, iteration]
    report = _parse(report_document)
    assert (len(report.iterations), len(report.measured)) == (3, 2)


def test_parse_report_lookahead_and_sampling_are_told(report_document: dict[str, Any]) -> None:
    report_document["settings"]["lookahead"] = {"window": 4, "ngram": 3, "gcap": 2}
    report_document["settings"]["sampling"] = {
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.9,
        "seed": 7,
    }
    _turn(report_document)["lookahead"] = {"proposed": 8, "accepted": 3}
    report = _parse(report_document)
    assert report.settings.lookahead == LookaheadShape(4, 3, 2)
    assert report.settings.sampling == Sampling(0.5, 4, 0.9, 7)
    assert report.measured[0].turns[0].lookahead == LookaheadCounts(8, 3)


def test_parse_report_logits_are_pairs_of_id_and_value(report_document: dict[str, Any]) -> None:
    top = [[[5, 900], [6, 880]], [[6, 900], [5, 1]], [[2, 900], [5, 1]]]
    _turn(report_document)["logits"] = {"scale": 0.5, "zero_point": 3, "top": top}
    logits = _parse(report_document).measured[0].turns[0].logits
    assert logits is not None
    assert logits.top[0] == ((5, 900.0), (6, 880.0))


def test_parse_report_key_of_a_newer_runner_is_let_through(report_document: dict[str, Any]) -> None:
    _parse({**report_document, "novelty": 1})


@pytest.mark.parametrize(
    ("status", "code", "name", "step"),
    [("error", 68, "load_failed", "load_text_decoder"), ("partial", 139, "crashed", "decode")],
)
def test_parse_report_runners_own_error_is_told(
    report_document: dict[str, Any], status: str, code: int, name: str, step: str
) -> None:
    error = {"exit_code": code, "name": name, "message": "it says why", "step": step}
    with pytest.raises(RunnerError) as caught:
        _parse({**report_document, "status": status, "error": error})
    assert caught.value.exit_code == code
    assert str(caught.value).startswith(f"running the model ({step}): {name}: it says why")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_parse_report_garbage_is_a_runner_error(data: bytes) -> None:
    with pytest.raises(RunnerError, match="reading the runner's report"):
        parse_report(data)


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "schema": (lambda r: r.update(schema_version=1), "schema_version is 1"),
    "status": (lambda r: r.update(status="fine"), "status is 'fine'"),
    "error_untold": (lambda r: r.update(status="error"), "no error is told"),
    "missing": (lambda r: r.pop("memory"), "memory: Field required"),
    "number_as_text": (lambda r: _turn(r).update(prompt_tokens="40"), "prompt_tokens: Input"),
    "stop_reason": (lambda r: _turn(r).update(stop_reason="tired"), "stop_reason: Input should"),
    "shared_memory": (lambda r: r["settings"].update(shared_memory="ion"), "settings.shared_mem"),
    "token_count": (lambda r: _turn(r)["generated_token_ids"].pop(), "3 stamps for 2 generated"),
    "no_prompt": (lambda r: _turn(r).update(prompt_tokens=0), "turns.0.prompt_tokens is 0"),
    "no_turn": (lambda r: r["iterations"][0].update(turns=[]), "iterations.0.turns is empty"),
    "warm_ups_only": (lambda r: r["iterations"][0].update(warmup=True), "none but warm-ups"),
    "load_backwards": (lambda r: r["load_ns"].update(vision_encoder=[2, 1]), "load_ns ends"),
    "tokens_backwards": (
        lambda r: _turn(r)["timestamps_ns"]["tokens"].reverse(),
        "iterations.0.turns.0.timestamps_ns run backwards",
    ),
    "ends_early": (
        lambda r: _turn(r)["timestamps_ns"].update(inference_end=1),
        "timestamps_ns run backwards",
    ),
    "span_backwards": (
        lambda r: _turn(r)["timestamps_ns"].update(prefill=[5, 4]),
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
    document = {"schema_version": 2, "status": "ok", "settings": tree, "iterations": tree}
    with pytest.raises(RunnerError):
        _parse(document)
