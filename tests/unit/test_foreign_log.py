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


# What ExecuTorch's runners, the delegate, tokenizers and absl print besides the figures.
TALK = {
    "load": "I 00:00:00.1 executorch:main.cpp:9] Load Text Decoder: hybrid_llama_qnn.pte",
    "tokenizers": 'E tokenizers:hf_tokenizer.cpp:167] Error parsing JSON: {"a": 1}',
    "absl": "E0000 00:00:1700000000.000000 4711 re2.cc:237] Error parsing '(?<': missing {",
    "delegate": "[VERBOSE] [Qnn ExecuTorch]: QnnDsp <V> Creating {context}\n\n",
    "magic": "QnnContextCustomProtocol expected magic number: 0x5678abcd but get: 0x2000000",
    "audio": "I 00:00:00.1 executorch:a.cpp:1] audio Batch Size: 1, N_bins: 160, Frames: 844",
    "merged": "I 00:00:00.1 executorch:m.cpp:7] Merged Tensor embedding: total_tokens=64",
    "embeddings": "I 00:00:00.1 executorch:m.cpp:8] Get merged embeddings: total_tokens=81, "
    "embedding_dim=960",
    "prefill": "I 00:00:00.1 executorch:q.cpp:7] Prompt Processor: total 81 prompt tokens "
    "(AR-32 * 3 iters)",
    "rss_prefill": "I 00:00:00.1 executorch:q.cpp:8] RSS after prompt prefill: 1.500000 MiB "
    "(0 if unsupported)",
    "clamped": "I 00:00:00.1 executorch:r.cpp:3] Warning: Requested seq_len (4096) exceeds "
    "compiled max_seq_len (1024). Clamping to 1024.",
    "invalid_length": "I 00:00:00.1 executorch:r.cpp:4] Warning: Invalid seq_len (-1). Using "
    "compiled max_seq_len (1024).",
    "length_reached": "I 00:00:00.1 executorch:r.cpp:5] Sequence length (128 tokens) reached!",
    "ahead": "I 00:00:00.1 executorch:l.cpp:2] Initialize Lookahead branch",
    "seed_missing": "E 00:00:00.1 executorch:r.cpp:6] Cannot find method get_k_scale_output_0",
    "several_lines": 'I 00:00:00.1 executorch:r.cpp:7] Turn-1: {id: 1, text: "Prompt\n'
    "Tokens: {9}\n\", files_path: ['a.raw', 'b.raw']}",
    "gpu": "I 00:00:00.1 executorch:stats.h:188] \tGPU total memory: 8192.00 MB",
    "gpu_peak": "I 00:00:00.1 executorch:stats.h:192] \tGPU peak usage: 12.25 MB",
}


@pytest.mark.parametrize("name", TALK)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_log_with_other_lines_between_any_two_gives_the_same_figures(
    name: str, ending: str
) -> None:
    lines = (LOGS_DIR / "2026-03.log").read_text().splitlines()
    expected = _read("2026-03")
    for place in range(len(lines) + 1):
        talk = [*lines[:place], *TALK[name].splitlines(), *lines[place:]]
        assert read_foreign_log(ending.join(talk) + ending) == expected, place


def test_log_of_a_gpu_run_gives_the_same_figures() -> None:
    whole = (LOGS_DIR / "2026-07_crlf.log").read_bytes().decode()
    keys = {
        "gpu_total_bytes": 8589934592,
        "gpu_free_before_load_bytes": 8500000000,
        "gpu_free_after_load_bytes": 8400000000,
        "gpu_free_after_generate_bytes": 8300000000,
        "gpu_peak_usage_mb": 1.225e2,
    }
    more = "".join(f'"{key}":{value},' for key, value in keys.items())
    assert read_foreign_log(whole.replace('"prompt_tokens"', f'{more}"prompt_tokens"', 1)) == (
        read_foreign_log(whole)
    )


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
