"""`--runner`: ExecuTorch's own runner instead of ours, here one that prints a recorded log."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from .sessions import Bench
from .workplace import Workplace

LOGS_DIR = Path(__file__).parents[1] / "unit" / "foreign_logs"
TRANSCRIPT = "<|im_start|>User:<image>Which colour?<end_of_utterance>\nAssistant: the shape is red"


def write_stand_in(path: Path, log: str, exit_code: int = 0) -> Path:
    """A runner that leaves a transcript and its arguments, and prints a log."""
    text = (LOGS_DIR / f"{log}.log").read_text()
    observer = "".join(
        line + "\n" for line in text.splitlines() if line.startswith("PyTorchObserver")
    )
    stderr = text.replace(observer, "") if observer else text
    path.write_text(
        f"#!/bin/sh\nprintf '%s ' \"$@\" >&2\n"
        f"printf %s {shlex.quote(stderr)} >&2\n"
        f"printf %s {shlex.quote(TRANSCRIPT)} >outputs.txt\n"
        f"printf %s {shlex.quote(observer)}\nexit {exit_code}\n"
    )
    path.chmod(0o755)
    return path


def test_runner_of_executorch_gives_reply_and_metrics_from_its_log(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    runner = write_stand_in(tmp_path / "qnn_multimodal_runner", "2026-03")
    args = [*simulated_work.args, *bench.args(bench.simulated), "--runner", str(runner)]
    done = bench.run([*args, "-m", "smolvlm and accuracy"])
    assert done.outcomes() == {"test_answer[toy-hybrid-red]": "passed"}, done.output
    found = done.tests["test_answer[toy-hybrid-red]"].properties
    assert found["reply"] == "the shape is red"
    assert float(found["decode_tokens_per_s"]) == pytest.approx(60 / 1.1)
    assert float(found["ttft_ms"]) == 500
    assert "encoder_ms" not in found  # its log does not tell


@pytest.mark.parametrize(
    ("log", "exit_code", "said"),
    [
        ("failed_device", 134, "QNN_DEVICE_ERROR_INVALID_CONFIG (14001)"),
        ("failed_too_long", 0, "the prompt does not fit into the context"),
        ("cut_off", 0, "its log has no figures"),
    ],
)
def test_runner_of_executorch_that_fails_is_an_error_whatever_its_exit_code(
    bench: Bench,
    simulated_work: Workplace,
    tmp_path: Path,
    log: str,
    exit_code: int,
    said: str,
) -> None:
    runner = write_stand_in(tmp_path / "qnn_multimodal_runner", log, exit_code)
    args = [*simulated_work.args, *bench.args(bench.simulated), "--runner", str(runner)]
    done = bench.run([*args, "-m", "smolvlm and accuracy"])
    assert done.outcomes() == {"test_answer[toy-hybrid-red]": "error"}
    assert said in done.output


def test_runner_that_is_no_file_is_refused(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    args = [*simulated_work.args, *bench.args(bench.simulated)]
    done = bench.run([*args, "--runner", str(tmp_path / "nowhere")])
    assert done.exit_status == 4
    assert "nowhere is no file" in done.output
