"""Whatever is wrong ends in its exit code, one line and an error report."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from tests.cpp.conftest import RunnerResult, Toy, run_runner

USAGE, BAD_REQUEST, UNREADABLE, CONTRACT, LOAD = 64, 65, 66, 67, 68
TOO_LONG, IMAGE, NOT_WRITABLE, NOT_FINITE = 71, 72, 73, 74


def assert_refused(result: RunnerResult, exit_code: int, *parts: str) -> None:
    assert result.exit_code == exit_code, result.stderr
    for part in parts:
        assert part in result.message
    assert result.report is not None
    assert result.report["status"] == "error"
    assert result.report["error"]["exit_code"] == exit_code
    assert result.message == f"vlm_runner: {result.report['error']['message']}"
    assert "PyTorchObserver" not in result.stdout


def test_runner_unknown_argument_is_a_usage_error(toy: Toy, tmp_path: Path) -> None:
    result = run_runner(toy.executable, ["--prompt", "x"], tmp_path)
    assert result.exit_code == USAGE
    assert "unknown argument '--prompt'" in result.message


def test_runner_missing_request_names_it(toy: Toy, tmp_path: Path) -> None:
    argv = ["--request", "nowhere.json", "--report", "report.json"]
    assert_refused(run_runner(toy.executable, argv, tmp_path), UNREADABLE, "nowhere.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}'])
def test_runner_malformed_request_is_refused(toy: Toy, text: str) -> None:
    assert_refused(toy.run(text), BAD_REQUEST, "request: ")


@pytest.mark.parametrize("key", ["vision_encoder_pte", "tok_embedding_pte", "text_decoder_pte"])
def test_runner_missing_pte_names_component_and_file(toy: Toy, key: str) -> None:
    result = toy.run(toy.request(**{key: "nowhere.pte"}))
    assert_refused(result, UNREADABLE, key.removesuffix("_pte"), "nowhere.pte", "No such file")
    assert result.report is not None
    assert result.report["error"]["step"] == f"load_{key.removesuffix('_pte')}"


@pytest.mark.parametrize("kept", [0, 7, 40, 200, 0.3, 0.9, -1])
def test_runner_truncated_pte_is_refused(toy: Toy, tmp_path: Path, kept: float) -> None:
    whole = (toy.dir / "text_decoder.pte").read_bytes()
    size = int(len(whole) * kept) if isinstance(kept, float) else kept
    (tmp_path / "cut.pte").write_bytes(whole[:size])
    result = toy.run(toy.request(mode="hybrid", text_decoder_pte="cut.pte"))
    assert_refused(result, LOAD, "text_decoder", "cut.pte")


def test_runner_file_that_is_no_pte_is_refused(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "text.pte").write_text("not a program " * 100, encoding="utf-8")
    result = toy.run(toy.request(text_decoder_pte="text.pte"))
    assert_refused(result, LOAD, "text.pte")


def test_runner_folder_as_pte_is_refused(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "folder.pte").mkdir()
    assert_refused(toy.run(toy.request(text_decoder_pte="folder.pte")), UNREADABLE, "not a file")


def test_runner_swapped_ptes_name_the_missing_method(toy: Toy) -> None:
    result = toy.run(toy.request(text_decoder_pte=str(toy.dir / "tok_embedding.pte")))
    assert_refused(result, CONTRACT, "text_decoder", "kv_forward")


def test_runner_hybrid_on_kv_only_decoder_names_the_method(toy: Toy) -> None:
    decoder = str(toy.dir / "decoder_kv_only.pte")
    result = toy.run(toy.request(mode="hybrid", text_decoder_pte=decoder))
    assert_refused(result, CONTRACT, "prefill_forward")


def test_runner_encodings_for_a_float_cache_are_refused(toy: Toy) -> None:
    decoder = str(toy.dir / "decoder_float_encodings.pte")
    result = toy.run(toy.request(mode="hybrid", text_decoder_pte=decoder))
    assert_refused(result, CONTRACT, "cache encodings")


def test_runner_prompt_longer_than_context_gives_both_lengths(toy: Toy) -> None:
    ids = [1] * toy.expected["context_length"]
    result = toy.run(toy.request("one_token", prompt_token_ids=ids))
    assert_refused(result, TOO_LONG, "24 tokens", "at most 23")


def test_runner_token_outside_vocabulary_is_refused(toy: Toy) -> None:
    ids = [1, toy.expected["vocab_size"]]
    result = toy.run(toy.request("one_token", prompt_token_ids=ids))
    assert_refused(result, BAD_REQUEST, "prompt_token_ids[1]", "61")


def test_runner_too_few_images_gives_both_counts(toy: Toy) -> None:
    request = toy.request()
    request["turns"][0]["images"].pop()
    assert_refused(toy.run(request), IMAGE, "6 image placeholders", "give 3")


def test_runner_image_of_another_shape_is_refused(toy: Toy) -> None:
    request = toy.request()
    request["turns"][0]["images"][1]["shape"] = [1, 3, 8, 2]
    assert_refused(toy.run(request), IMAGE, "[1, 3, 8, 2]", "[1, 3, 4, 4]")


def test_runner_short_image_file_gives_both_sizes(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(100))
    request = toy.request()
    request["turns"][0]["images"][0]["path"] = "short.bin"
    assert_refused(toy.run(request), IMAGE, "short.bin", "100 bytes", "expected 192")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_runner_pixels_that_are_no_numbers_are_refused(
    toy: Toy, tmp_path: Path, value: float
) -> None:
    pixels = [0.0] * 48
    pixels[17] = value
    (tmp_path / "nan.bin").write_bytes(struct.pack("<48f", *pixels))
    request = toy.request()
    request["turns"][0]["images"][0]["path"] = "nan.bin"
    assert_refused(toy.run(request), NOT_FINITE, "nan.bin", "value 17")


def test_runner_nan_logits_are_refused(toy: Toy) -> None:
    decoder = str(toy.dir / "decoder_nan.pte")
    result = toy.run(toy.request(text_decoder_pte=decoder))
    assert_refused(result, NOT_FINITE, "logit 5")
    assert result.report is not None
    assert result.report["iterations"][0]["turns"][0]["generated_token_ids"] == []


def test_runner_report_that_cannot_be_written_is_an_error(toy: Toy, tmp_path: Path) -> None:
    toy.run(toy.request())
    argv = ["--request", "request.json", "--report", "nowhere/report.json"]
    (tmp_path / "report.json").unlink()
    result = run_runner(toy.executable, argv, tmp_path)
    assert result.exit_code == NOT_WRITABLE
    assert "nowhere/report.json" in result.message


def test_runner_old_report_is_gone_when_the_new_run_fails(toy: Toy) -> None:
    assert toy.run(toy.request()).exit_code == 0
    result = toy.run(toy.request(text_decoder_pte="nowhere.pte"))
    assert_refused(result, UNREADABLE)
