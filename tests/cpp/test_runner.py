"""The runner's answers, against PyTorch on the same weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.foreign_log import OLDEST_GENERATION, read_foreign_log
from harness.report import parse_report
from harness.runtime.toolchain import find_toolchain
from tests.cpp.conftest import Toy

CASES = ("one_token", "two_images", "one_step", "many_steps")
MODES = ("kv", "hybrid")
VARIANTS = ("float", "planned", "uint16_same", "uint16_apart", "uint8_apart")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_runner_until_context_is_full_answers_as_pytorch(
    open_toy: Callable[[str], Toy], variant: str, mode: str
) -> None:
    toy = open_toy(variant)
    for case in CASES:
        result = toy.run(toy.request(case, mode))
        assert result.turn["generated_token_ids"] == toy.answer(case, mode), case
        assert result.turn["stop_reason"] == "context_full"
        assert result.report is not None
        assert result.report["status"] == "ok"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variant", ["float", "planned", "uint16_same"])
def test_runner_hybrid_with_same_encodings_answers_as_kv(
    open_toy: Callable[[str], Toy], variant: str, case: str
) -> None:
    toy = open_toy(variant)
    assert toy.answer(case, "hybrid") == toy.answer(case, "kv")
    replies = [toy.run(toy.request(case, mode)).turn["generated_token_ids"] for mode in MODES]
    assert replies[0] == replies[1]


def test_answers_differ_between_prompts(open_toy: Callable[[str], Toy]) -> None:
    # Guards the tests above: a model that always says the same would prove nothing.
    toy = open_toy("uint16_apart")
    assert len({tuple(toy.answer(case, "kv")[:5]) for case in CASES}) == len(CASES)
    assert toy.answer("two_images", "kv") != toy.answer("two_images", "hybrid")


@pytest.mark.parametrize(
    ("variant", "mode", "is_counted"),
    [
        ("uint16_apart", "hybrid", True),
        ("uint8_apart", "hybrid", True),
        ("uint16_apart", "kv", False),
        ("uint16_same", "hybrid", False),
    ],
)
def test_requantised_entries_are_every_prompt_entry_once(
    open_toy: Callable[[str], Toy], variant: str, mode: str, is_counted: bool
) -> None:
    toy = open_toy(variant)
    turn = toy.run(toy.request("many_steps", mode)).turn
    entries = turn["prompt_tokens"] * toy.expected["cache_scalars_per_token"]
    assert turn["requantized_entries"] == (entries if is_counted else 0)


def test_runner_stop_token_ends_and_is_included(toy: Toy) -> None:
    answer = toy.answer("two_images", "kv")
    stop = answer[3]
    turn = toy.run(toy.request(stop_token_ids=[60, stop])).turn
    assert turn["generated_token_ids"] == answer[: answer.index(stop) + 1]
    assert turn["stop_reason"] == "stop_token"


@pytest.mark.parametrize("mode", MODES)
def test_runner_first_token_is_stop_token_ends_at_once(toy: Toy, mode: str) -> None:
    first = toy.answer("two_images", mode)[0]
    turn = toy.run(toy.request(mode=mode, stop_token_ids=[first])).turn
    assert turn["generated_token_ids"] == [first]
    assert turn["stop_reason"] == "stop_token"


def test_runner_limit_ends_after_that_many_tokens(toy: Toy) -> None:
    turn = toy.run(toy.request(max_new_tokens=4)).turn
    assert turn["generated_token_ids"] == toy.answer("two_images", "kv")[:4]
    assert turn["stop_reason"] == "max_new_tokens"


@pytest.mark.parametrize("mode", MODES)
def test_runner_prompt_that_fills_the_cache_gives_one_token(toy: Toy, mode: str) -> None:
    longest = toy.expected["context_length"] - 1
    ids = [1 + (3 * i) % 5 for i in range(longest)]
    turn = toy.run(toy.request("one_token", mode, prompt_token_ids=ids)).turn
    assert len(turn["generated_token_ids"]) == 1
    assert turn["stop_reason"] == "context_full"


def test_runner_kv_only_decoder_serves_kv(toy: Toy) -> None:
    decoder = str(toy.dir / "decoder_kv_only.pte")
    turn = toy.run(toy.request(text_decoder_pte=decoder)).turn
    assert turn["generated_token_ids"] == toy.answer("two_images", "kv")


def test_runner_recorded_logits_have_the_tokens_first(open_toy: Callable[[str], Toy]) -> None:
    toy = open_toy("uint16_same")
    turn = toy.run(toy.request(record_logits="top2")).turn
    logits = turn["logits"]
    assert logits["scale"] == pytest.approx(0.0004)
    assert logits["zero_point"] == 30000
    assert [best[0][0] for best in logits["top"]] == turn["generated_token_ids"]
    for best, second in logits["top"]:
        assert isinstance(best[1], int)
        assert best[1] >= second[1]
        assert best[0] != second[0]


def test_runner_timestamps_follow_one_another(toy: Toy) -> None:
    result = toy.run(toy.request("two_images", "hybrid"))
    turn, report = result.turn, result.report
    assert report is not None
    times, loads = turn["timestamps_ns"], report["load_ns"]
    order = [
        loads["start"],
        *loads["vision_encoder"],
        *loads["tok_embedding"],
        *loads["text_decoder"],
        times["inference_start"],
        *(moment for image in times["images"] for moment in image),
        times["prefill"][0],
        *(moment for step in times["prefill_steps"] for moment in step),
        times["prefill"][1],
        *times["tokens"],
        times["inference_end"],
    ]
    assert order == sorted(order)
    assert len(times["images"]) == 2
    assert len(times["prefill_steps"]) == 2
    assert len(times["tokens"]) == len(turn["generated_token_ids"])


def test_runner_execute_times_lie_within_their_steps(toy: Toy) -> None:
    turn = toy.run(toy.request("two_images", "hybrid")).turn
    times, execute = turn["timestamps_ns"], turn["execute_ns"]
    for kind, spans in (("vision_encoder", "images"), ("prefill", "prefill_steps")):
        assert len(execute[kind]) == len(times[spans])
        for inside, (begin, end) in zip(execute[kind], times[spans], strict=True):
            assert 0 < inside <= end - begin
    assert turn["decode_steps"] == len(execute["decode"]) == len(turn["generated_token_ids"]) - 1
    assert sum(execute["decode"]) <= times["tokens"][-1] - times["tokens"][0]


def test_runner_report_tells_memory_processors_and_build(toy: Toy) -> None:
    result = toy.run(toy.request())
    assert result.report is not None
    memory = result.report["memory"]
    assert 0 < memory["rss_after_load_bytes"] <= memory["peak_rss_bytes"]
    assert 0 < memory["rss_after_prefill_bytes"] <= memory["peak_rss_bytes"]
    assert set(result.report["cpu"]["affinity"]) == os.sched_getaffinity(0)
    assert len(result.report["cpu"]["frequency_khz"]) in (0, len(os.sched_getaffinity(0)))
    build = result.report["build"]
    assert build["abi"] == "x86_64"
    assert build["executorch_version"] == find_toolchain().packages.executorch.version
    assert build["build_type"] == "Release"
    assert "-O3" in build["flags"]


def test_runner_report_tells_the_libraries_it_ran_with(toy: Toy) -> None:
    report = toy.run(toy.request()).report
    assert report is not None
    libraries = parse_report(json.dumps(report).encode()).libraries
    assert re.fullmatch("[0-9a-f]{40}", libraries["libc.so.6"] or "")
    assert "libexecutorch.so" in libraries
    assert all(version is None or version for version in libraries.values())


def test_runner_report_of_a_failed_run_tells_the_libraries_too(toy: Toy) -> None:
    result = toy.run(toy.request(text_decoder_pte="nowhere.pte"))
    assert result.report is not None
    assert "libexecutorch.so" in result.report["libraries"]


def test_runner_without_images_leaves_the_vision_encoder_alone(toy: Toy) -> None:
    result = toy.run(toy.request("one_step", vision_encoder_pte="nowhere.pte"))
    assert result.turn["generated_token_ids"] == toy.answer("one_step", "kv")
    assert result.report is not None
    assert result.report["load_ns"]["vision_encoder"] is None


def test_runner_stdout_is_the_observer_line_alone(toy: Toy) -> None:
    result = toy.run(toy.request())
    turn = result.turn
    prefix = "PyTorchObserver "
    assert result.stdout.startswith(prefix)
    assert result.stdout.count("\n") == 1
    observed = json.loads(result.stdout.removeprefix(prefix))
    assert observed["prompt_tokens"] == turn["prompt_tokens"]
    assert observed["generated_tokens"] == len(turn["generated_token_ids"]) - 1
    assert observed["SCALING_FACTOR_UNITS_PER_SECOND"] == 1000


@pytest.mark.parametrize("generation", [OLDEST_GENERATION, "2026-03", "2026-07"])
def test_runner_stdout_of_each_key_set_is_read_as_executorchs(toy: Toy, generation: str) -> None:
    result = toy.run(toy.request("one_step"), None, "--observer", generation)
    assert result.report is not None
    report = parse_report(json.dumps(result.report).encode())
    (seen,) = read_foreign_log(result.stdout).turns
    assert seen.generation == generation
    (turn,) = report.measured[0].turns
    assert seen.prompt_tokens == turn.prompt_tokens
    assert seen.generated_tokens == len(turn.generated_token_ids) - 1
    # The line has whole milliseconds, the report nanoseconds.
    stamps = turn.timestamps_ns
    ttft_ms = (stamps.tokens[0] - stamps.inference_start) / 1e6
    assert seen.metrics["ttft_ms"] == pytest.approx(ttft_ms, abs=1)


def test_runner_goes_on_where_nobody_reads_its_output(toy: Toy, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    (tmp_path / "request.json").write_text(json.dumps(toy.request()), encoding="utf-8")
    argv = [toy.executable, "--request", "request.json", "--report", "report.json"]
    done = subprocess.run(argv, cwd=tmp_path, stdout=write_end, stderr=write_end, check=False)
    os.close(write_end)
    assert done.returncode == 0
    assert json.loads((tmp_path / "report.json").read_bytes())["status"] == "ok"
