from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.device import LocalFile, RunPlan, run_on_device
from harness.device.transcript import Transcript


def _run(bench: Any, make_file: Callable[[str, bytes], LocalFile], code: str) -> Any:
    files = {"runner": make_file("runner", f"#!/bin/sh\n{code}\n".encode())}
    return run_on_device(bench.device, RunPlan(files, b"{}", "runner", 30.0))


def test_run_logits_of_many_megabytes_come_back_whole_beside_the_report(
    bench: Any, make_file: Callable[[str, bytes], LocalFile], tmp_path: Path
) -> None:
    code = "echo talk; seq 1 900000 >logits.bin; echo '{}' >report.json"
    outcome = _run(bench, make_file, code)
    expected = "".join(f"{number}\n" for number in range(1, 900_001)).encode()
    assert outcome.logits is not None
    assert hashlib.sha256(outcome.logits).digest() == hashlib.sha256(expected).digest()
    assert (outcome.stdout, outcome.report_json) == ("talk\n", b"{}\n")
    assert bench.run_folders() == []


def test_run_without_logits_has_none(
    bench: Any, make_file: Callable[[str, bytes], LocalFile]
) -> None:
    assert _run(bench, make_file, "echo '{}' >report.json").logits is None


def test_transcript_logits_cut_short_are_none() -> None:
    transcript = Transcript("run")
    transcript.append(1, b"run start\n\nrun end 0\nrun output 5\nab")
    assert transcript.output is None
    transcript.append(1, b"cde")
    assert transcript.output == b"abcde"


def test_transcript_mark_broken_over_frames_is_still_seen() -> None:
    transcript = Transcript("run")
    for part in (b"run start\n\nrun end 0\nrun out", b"put ", b"3", b"\na", b"bc"):
        transcript.append(1, part)
    assert transcript.output == b"abc"
    assert transcript.runner_exit_code == 0
