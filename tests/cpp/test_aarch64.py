"""The aarch64 build of the runner answers as the host's does, under emulation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.errors import RuntimeFolderError
from harness.runtime import Runtime, check_runtime, check_runtime_serves, find_runtime
from tests.cpp.conftest import SUITE_CACHE_DIR, Toy
from tests.sanitized import BUILD_TIMEOUT_S

SYSROOT = "/usr/aarch64-linux-gnu"  # of Debian's cross compiler


@pytest.fixture(scope="session")
def board_runtime() -> Runtime:
    """Built against executorch's aarch64 wheel, which is fetched on first use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(SUITE_CACHE_DIR))
        return find_runtime("aarch64", 79, simulated=False)


@pytest.fixture
def emulated(board_runtime: Runtime, tmp_path: Path) -> Path:
    """A program that runs the board's runner on this machine."""
    qemu = shutil.which("qemu-aarch64")
    assert qemu is not None, "no emulator: sudo apt-get install qemu-user"
    runner = board_runtime.path_of(board_runtime.executable)
    script = tmp_path / "emulated_runner"
    script.write_text(
        f'#!/bin/sh\nexec {qemu} -L {SYSROOT} -E LD_LIBRARY_PATH={runner.parent} {runner} "$@"\n'
    )
    script.chmod(0o755)
    return script


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.parametrize("mode", ["kv", "hybrid"])
@pytest.mark.parametrize("case", ["two_images", "one_token"])
def test_board_runner_answers_as_the_hosts(toy: Toy, emulated: Path, mode: str, case: str) -> None:
    request = toy.request(case, mode)
    on_board, on_host = toy.run(request, emulated), toy.run(request)
    assert on_board.turn["generated_token_ids"] == on_host.turn["generated_token_ids"]
    assert on_board.turn["generated_token_ids"] == toy.answer(case, mode)
    assert on_board.report is not None
    assert on_board.report["build"]["abi"] == "aarch64"


def test_board_runner_refuses_a_damaged_pte_as_the_hosts(
    toy: Toy, emulated: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.pte").write_bytes((toy.dir / "text_decoder.pte").read_bytes()[:-1])
    request = toy.request(text_decoder_pte="cut.pte")
    on_board, on_host = toy.run(request, emulated), toy.run(request)
    assert (on_board.exit_code, on_board.message) == (on_host.exit_code, on_host.message)


def test_board_runtime_takes_cpu_bundles_and_refuses_qnn(board_runtime: Runtime) -> None:
    check_runtime(board_runtime, "aarch64", 79)
    check_runtime_serves(board_runtime, "xnnpack", None, "toy")
    with pytest.raises(RuntimeFolderError, match="no QNN delegate"):
        check_runtime_serves(board_runtime, "qnn", "2.49.40", "toy")
