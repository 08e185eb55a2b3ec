from __future__ import annotations

import json
from typing import Any

import pytest

from harness.metrics import measure_all
from harness.report import parse_report
from harness.vocabulary import METRIC_KINDS

# By hand from the report of conftest.py.
EXPECTED = {
    "decode_tokens_per_s": 2 / 0.040,
    "prefill_tokens_per_s": 40 / 0.080,
    "e2e_tokens_per_s": 3 / 0.150,
    "ttft_ms": 100.0,
    "encoder_ms": 20.0,
    "model_load_ms": 50.0,
    "itl_p50_ms": 20.0,
    "itl_p95_ms": 29.0,
    "peak_rss_mib": 3.0,
}


def _measure(document: dict[str, Any]) -> dict[str, float | None]:
    report = parse_report(json.dumps(document).encode())
    return measure_all(report.measured[0].turns[0], report)


def _turn(document: dict[str, Any]) -> dict[str, Any]:
    turn: dict[str, Any] = document["iterations"][0]["turns"][0]
    return turn


@pytest.mark.parametrize("name", EXPECTED)
def test_metric_of_the_example_is_as_computed_by_hand(
    report_document: dict[str, Any], name: str
) -> None:
    assert _measure(report_document)[name] == pytest.approx(EXPECTED[name])


def test_metrics_have_an_expectation_and_a_kind_each(report_document: dict[str, Any]) -> None:
    assert set(_measure(report_document)) == set(EXPECTED) == set(METRIC_KINDS)


def test_metrics_one_token_leave_decode_and_gaps_undefined(report_document: dict[str, Any]) -> None:
    _turn(report_document)["generated_token_ids"] = [2]
    _turn(report_document)["timestamps_ns"]["tokens"] = [1_100_000_000]
    values = _measure(report_document)
    assert (values["decode_tokens_per_s"], values["itl_p50_ms"]) == (None, None)
    assert values["ttft_ms"] == 100.0


def test_metrics_no_token_leave_ttft_undefined(report_document: dict[str, Any]) -> None:
    _turn(report_document)["generated_token_ids"] = []
    _turn(report_document)["timestamps_ns"]["tokens"] = []
    values = _measure(report_document)
    assert values["ttft_ms"] is None
    assert values["e2e_tokens_per_s"] == 0


def test_metrics_no_picture_leaves_encoder_undefined(report_document: dict[str, Any]) -> None:
    _turn(report_document)["timestamps_ns"]["images"] = []
    assert _measure(report_document)["encoder_ms"] is None


def test_metrics_two_pictures_add_up(report_document: dict[str, Any]) -> None:
    _turn(report_document)["timestamps_ns"]["images"] = [[0, 5_000_000], [7_000_000, 10_000_000]]
    assert _measure(report_document)["encoder_ms"] == 8.0


def test_metrics_no_time_at_all_leaves_rates_undefined(report_document: dict[str, Any]) -> None:
    stamps = _turn(report_document)["timestamps_ns"]
    stamps["tokens"] = [stamps["inference_start"]] * 3
    stamps["inference_end"] = stamps["inference_start"]
    stamps["prefill"] = [stamps["inference_start"]] * 2
    values = _measure(report_document)
    assert values["decode_tokens_per_s"] is None
    assert values["prefill_tokens_per_s"] is None
    assert values["e2e_tokens_per_s"] is None
