"""Logs of ExecuTorch's own runner, one file per generation and per way of arriving."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.foreign_log import (
    ForeignLog,
    last_reply,
    read_foreign_log,
    read_inference_speed,
)

LOGS_DIR = Path(__file__).with_name("foreign_logs")

# (generation, prompt tokens, generated, decode tok/s, prefill tok/s, end-to-end tok/s,
#  time to first token, load, resident set, how it ended), by hand from the files' stamps.
EXPECTED = {
    "seed": [("seed", 81, 47, 47 / 0.36, 81 / 0.6, 47 / 0.96, 600, 1450, 812.5, "context_full")],
    "2026-03": [("2026-03", 81, 60, 60 / 1.1, 162, 37.5, 500, 1200, 812.5, "stop_token")],
    "2026-07_crlf": [
        ("2026-07", 272, 118, 118 / 1.6, 680, 59, 400, 900, 1024.25, "stop_token"),
    ],
    "optimum_unprefixed": [("optimum", 16, 31, 50, 160, 31 / 0.72, 100, 300, None, None)],
    "inf_nan": [("2026-03", 81, 0, None, None, None, 0, 1200, None, None)],
    "folded_block_only": [("block", 81, 60, 60 / 1.1, 162, 37.5, 500, 1200, 812.5, "stop_token")],
    "interleaved_two_turns": [
        ("2026-03", 81, 60, 60 / 1.1, 162, 37.5, 500, 1200, 812.5, "stop_token"),
        ("2026-03", 20, 30, 30 / 0.7, 100, 30 / 0.9, 200, 1200, 812.5, "stop_token"),
    ],
    "lookahead": [("2026-07", 64, 50, 50, 200, 50 / 1.32, 320, 700, 812.5, "stop_token")],
}
NAMES = (
    "decode_tokens_per_s",
    "prefill_tokens_per_s",
    "e2e_tokens_per_s",
    "ttft_ms",
    "model_load_ms",
    "rss_after_generate_mib",
)


def _read(name: str) -> ForeignLog:
    return read_foreign_log((LOGS_DIR / f"{name}.log").read_bytes().decode())


@pytest.mark.parametrize("name", EXPECTED)
def test_log_of_each_generation_gives_the_metrics_it_holds(name: str) -> None:
    log = _read(name)
    assert log.failure is None
    assert len(log.turns) == len(EXPECTED[name])
    for turn, expected in zip(log.turns, EXPECTED[name], strict=True):
        generation, prompt, generated, *metrics, stop_reason = expected
        assert (turn.generation, turn.stop_reason) == (generation, stop_reason)
        assert (turn.prompt_tokens, turn.generated_tokens) == (prompt, generated)
        assert dict(turn.metrics) == {
            name: value if value is None else pytest.approx(value, rel=1e-4)
            for name, value in zip(NAMES, metrics, strict=True)
        }


def test_log_of_lookahead_gives_its_counts() -> None:
    log = _read("lookahead")
    assert (log.lookahead_generated, log.lookahead_accepted) == (50, 21)


@pytest.mark.parametrize(
    ("name", "failure"),
    [("failed_device", "device_handle_14001"), ("failed_too_long", "foreign_too_long")],
)
def test_log_of_a_failure_has_its_cause_and_no_figures(name: str, failure: str) -> None:
    log = _read(name)
    assert log.turns == ()
    assert log.failure is not None
    assert log.failure.name == failure


def test_log_cut_off_in_its_record_has_no_figures() -> None:
    assert _read("cut_off").turns == ()


@pytest.mark.parametrize("width", [40, 61, 80, 133])
def test_log_folded_by_a_terminal_gives_the_same_figures(width: int) -> None:
    whole = (LOGS_DIR / "2026-03.log").read_text()
    lines = whole.splitlines(keepends=True)
    folded = "".join(
        "\n".join(line[i : i + width] for i in range(0, len(line), width)) for line in lines
    )
    (turn,) = read_foreign_log(folded).turns
    (expected,) = read_foreign_log(whole).turns
    assert turn.metrics == expected.metrics


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_log_with_the_record_anywhere_in_stderr_gives_the_same_figures(cut: int) -> None:
    lines = (LOGS_DIR / "2026-03.log").read_text().splitlines(keepends=True)
    record = next(line for line in lines if line.startswith("PyTorchObserver"))
    rest = "".join(line for line in lines if line is not record)
    at = cut % (len(rest) + 1)
    (turn,) = read_foreign_log(rest[:at] + record + rest[at:]).turns
    (expected,) = _read("2026-03").turns
    assert turn.metrics == expected.metrics


@given(data=st.binary(max_size=400))
def test_log_of_random_bytes_never_raises(data: bytes) -> None:
    read_foreign_log(data.decode(errors="replace"))


PIECES = st.sampled_from(
    [
        "PyTorchObserver {",
        '"prompt_tokens":',
        '"SCALING_FACTOR_UNITS_PER_SECOND":1000',
        "}",
        "9" * 400,
        "1e999",
        "-nan",
        "\tPrompt Tokens: 81    Generated Tokens: 47\n",
        "\tModel Load Time:\t\t",
        "inf (seconds)",
        "I 00:00:00.000001 executorch:stats.h:1] ",
        "RSS after finishing text generation: 1.2.3 MiB",
        ",",
        "\n",
    ]
)


@given(pieces=st.lists(PIECES | st.text(max_size=8), max_size=20))
def test_log_of_shuffled_pieces_never_raises(pieces: list[str]) -> None:
    for turn in read_foreign_log("".join(pieces)).turns:
        assert all(value is None or value >= 0 for value in turn.metrics.values())


@pytest.mark.parametrize(
    ("text", "speed"),
    [("51.4923", 51.4923), ("6e+01\n", 60.0), ("inf", None), ("nan", None), ("", None)],
)
def test_inference_speed_file_is_a_rate_or_nothing(text: str, speed: float | None) -> None:
    assert read_inference_speed(text) == speed


@pytest.mark.parametrize(
    ("transcript", "reply"),
    [
        (
            "<|im_start|>User:<image>Describe it.<end_of_utterance>\nAssistant: A city."
            "<end_of_utterance>",
            "A city.",
        ),
        (
            "<|im_start|>user:\n<img><image></img>What?<|im_end|>assistant\nTwo cats<|im_end|>"
            "<|im_start|>user:\nColour?<|im_end|>assistant\nGrey<|im_end|>",
            "Grey",
        ),
    ],
)
def test_last_reply_of_a_transcript_leaves_the_prompt_out(transcript: str, reply: str) -> None:
    assert last_reply(transcript) == reply
