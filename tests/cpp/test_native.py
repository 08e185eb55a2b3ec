"""The C++ unit tests and the runner under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cpp.conftest import Toy
from tests.sanitized import BUILD_TIMEOUT_S, STRICT


@pytest.fixture
def strict_sanitizers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STRICT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.usefixtures("strict_sanitizers")
def test_unit_tests_under_sanitizers_pass(sanitized_dir: Path) -> None:
    done = subprocess.run(
        [sanitized_dir / "tests" / "vlm_unit_tests"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stderr + done.stdout


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.usefixtures("strict_sanitizers")
@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_runner_under_sanitizers_answers_as_pytorch(
    sanitized_dir: Path, toy: Toy, mode: str
) -> None:
    result = toy.run(toy.request("two_images", mode), sanitized_dir / "vlm_runner")
    assert "Sanitizer" not in result.stderr
    assert result.turn["generated_token_ids"] == toy.answer("two_images", mode)


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.usefixtures("strict_sanitizers")
@pytest.mark.parametrize("mode", ["hybrid", "lookahead"])
@pytest.mark.parametrize("variant", ["wide_float", "wide_uint8_separate"])
def test_conversation_under_sanitizers_answers_as_without(
    sanitized_dir: Path, open_toy: Callable[[str], Toy], tmp_path: Path, variant: str, mode: str
) -> None:
    """Turns, requantisation both ways, a wide graph, seeded draws, repeats, all logits."""
    toy = open_toy(variant)
    request = toy.conversation(
        "3-3",
        mode,
        warmup=1,
        sampling={"temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": 3},
        record_logits="full",
        logits_path="logits.bin",
    )
    plain = toy.run(request)
    logits = (tmp_path / "logits.bin").read_bytes()
    sanitized = toy.run(request, sanitized_dir / "vlm_runner")
    assert "Sanitizer" not in sanitized.stderr
    replies = [[turn["generated_token_ids"] for turn in run.turns] for run in (plain, sanitized)]
    assert replies[0] == replies[1]
    assert len((tmp_path / "logits.bin").read_bytes()) == len(logits)
