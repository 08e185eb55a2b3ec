"""Failures that the HTP simulator cannot produce: a delegate that fails as it is told."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import locked, publish_dir
from harness.failures import exit_codes, find_signature
from harness.runtime.toolchain import find_toolchain
from tests.cpp.conftest import REPOSITORY_DIR, SUITE_CACHE_DIR, RunnerResult, Toy
from tests.failure_logs import LOGS

INTERNAL = 1  # ExecuTorch's Error::Internal, all that the QNN delegate ever returns
FAULTS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
SIGNALS = (*FAULTS, "SIGTERM", "SIGINT", "SIGHUP")
_BUNDLED_C10 = "executorch/runtime/core/portable_type/c10"
EXPORTER = Path(__file__).with_name("fake_backend.py")


@pytest.fixture(scope="session")
def fake_pte() -> Path:
    """A vision encoder for the fake delegate."""
    key = hashlib.sha256(EXPORTER.read_bytes()).hexdigest()[:16]
    folder = SUITE_CACHE_DIR / "toy_vlm" / f"fake_backend-{key}"
    with locked(folder.with_suffix(".lock"), "exporting the PTE of the fake delegate"):
        if not folder.is_dir():
            with publish_dir(folder) as temporary:
                command = [sys.executable, "-m", "tests.cpp.fake_backend"]
                command += [str(temporary / "vision_encoder.pte")]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                subprocess.run(command, cwd=REPOSITORY_DIR, env=environment, check=True)
    return folder / "vision_encoder.pte"


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fake_backend.cpp as a library that registers its delegate when it is loaded."""
    toolchain = find_toolchain()
    package = toolchain.packages.executorch.dir
    library = tmp_path_factory.mktemp("fake") / "libfake_backend.so"
    includes = (package / "include", package / "include" / _BUNDLED_C10)
    command = [
        *(toolchain.compiler, "-std=c++17", "-shared", "-fPIC"),
        "-DC10_USING_CUSTOM_GENERATED_MACROS",
        *(f"-I{folder}" for folder in includes),
        *(Path(__file__).with_name("fake_backend.cpp"), "-o", library),
        *(f"-L{toolchain.packages.executorch_lib_dir}", "-lexecutorch"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture
def fail(
    toy: Toy, fake_pte: Path, fake_library: Path, monkeypatch: pytest.MonkeyPatch
) -> FailingRun:
    monkeypatch.setenv("LD_PRELOAD", str(fake_library))
    # The preloaded library needs the runner's own libraries, which lie beside the runner.
    monkeypatch.setenv("LD_LIBRARY_PATH", str(toy.executable.parent))
    return FailingRun(toy, fake_pte, monkeypatch)


class FailingRun:
    """Runs a good request whose vision encoder fails as told."""

    def __init__(self, toy: Toy, pte: Path, patch: pytest.MonkeyPatch) -> None:
        self._toy, self._pte, self._patch = toy, pte, patch

    def __call__(self, moment: str, executable: Path | None = None, **told: object) -> RunnerResult:
        self._patch.setenv("VLM_FAKE_AT", moment)
        for name, value in told.items():
            self._patch.setenv(f"VLM_FAKE_{name.upper()}", str(value))
        return self._toy.run(self._toy.request(vision_encoder_pte=str(self._pte)), executable)


@pytest.mark.parametrize("name", LOGS)
def test_runner_delegate_that_tells_a_known_failure_ends_in_its_code(
    fail: FailingRun, name: str
) -> None:
    known = find_signature(LOGS[name])
    assert known is not None
    result = fail("init", tell=LOGS[name], error=INTERNAL)
    assert result.exit_code == exit_codes()[known.exit_code].code, result.stderr
    assert known.explanation in result.message
    assert result.report is not None
    assert result.report["error"]["name"] == known.exit_code
    assert result.report["error"]["step"] == "load_vision_encoder"
    assert LOGS[name].splitlines()[0] in result.stderr  # handed on, not swallowed


@pytest.mark.parametrize(
    ("moment", "code", "step"),
    [("init", "load_failed", "load_vision_encoder"), ("execute", "execution_failed", "encode")],
)
def test_runner_delegate_that_fails_in_silence_ends_in_the_general_code(
    fail: FailingRun, moment: str, code: str, step: str
) -> None:
    result = fail(moment, error=INTERNAL)
    assert result.exit_code == exit_codes()[code].code, result.stderr
    assert result.report is not None
    assert result.report["error"]["step"].startswith(step)


def test_runner_known_line_of_a_run_that_succeeds_fails_nothing(fail: FailingRun) -> None:
    result = fail("execute", tell="QnnDsp <E> Failed to load skel, error: 4000\n", error=0)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("moment", "step"),
    [("init", "load_vision_encoder"), ("execute", "encode"), ("exit", "exit")],
)
def test_runner_that_dies_of_a_signal_leaves_a_report_of_the_step(
    fail: FailingRun, number: str, moment: str, step: str
) -> None:
    code = signal.Signals[number]
    result = fail(moment, tell="the last words\n", signal=int(code))
    assert result.exit_code == -code, result.stderr
    assert result.report is not None
    assert result.report["status"] == "partial"
    error = result.report["error"]
    assert error["exit_code"] == 128 + code
    assert error["step"].startswith(step)
    assert f"signal {int(code)} ({number}) during {step}" in error["message"]
    assert "the last words" in result.stderr
    assert f"({number}) during {step}" in result.message


@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP"])
def test_runner_that_was_started_to_ignore_a_signal_goes_on(
    fail: FailingRun, toy: Toy, tmp_path: Path, number: str
) -> None:
    # As nohup does, and a shell with what it starts in the background.
    script = tmp_path / "ignoring"
    short = number.removeprefix("SIG")
    script.write_text(f"#!/bin/sh\ntrap '' {short}\nexec {toy.executable} \"$@\"\n")
    script.chmod(0o755)
    result = fail("execute", executable=script, signal=int(signal.Signals[number]))
    assert result.exit_code == 0, result.stderr
    assert result.report is not None
    assert result.report["status"] == "ok"
    assert "by signal" not in result.stderr


def test_runner_without_the_delegate_names_what_is_missing(toy: Toy, fake_pte: Path) -> None:
    result = toy.run(toy.request(vision_encoder_pte=str(fake_pte)))
    assert result.exit_code == exit_codes()["backend_missing"].code, result.stderr
    assert "FakeBackend" in result.stderr
