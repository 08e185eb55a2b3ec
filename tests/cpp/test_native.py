"""The C++ unit tests and the runner under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
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
