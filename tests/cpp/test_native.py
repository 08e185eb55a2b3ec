"""The C++ unit tests and the runner under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import boost_headers
import pytest

from harness.cache import locked
from harness.runtime.build import SOURCE_DIR
from harness.runtime.toolchain import find_toolchain
from tests.cpp.conftest import SUITE_CACHE_DIR, Toy

BUILD_TIMEOUT_S = 1200


@pytest.fixture(scope="session")
def sanitized_dir() -> Path:
    """A build folder that stays in the cache, so that only what changed is compiled again."""
    toolchain = find_toolchain()
    build_dir = SUITE_CACHE_DIR / "sanitized_runner"
    configure = [
        *(toolchain.cmake, "-G", "Ninja", "-S", SOURCE_DIR, "-B", build_dir),
        f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
        f"-DCMAKE_CXX_COMPILER={toolchain.compiler}",
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        "-DVLM_RUNNER_SANITIZE=ON",
        "-DVLM_RUNNER_TESTS=ON",
        f"-Dexecutorch_DIR={toolchain.packages.executorch_cmake_dir}",
        f"-DNLOHMANN_JSON_INCLUDE_DIR={toolchain.json_include_dir}",
        f"-DBOOST_INCLUDE_DIR={boost_headers.get_include()}",
    ]
    with locked(build_dir.with_suffix(".lock"), "building the runner with sanitizers"):
        for argv in (configure, [toolchain.cmake, "--build", build_dir]):
            done = subprocess.run(
                argv,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, done.stdout
    return build_dir


@pytest.fixture
def strict_sanitizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=1")


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
