"""Graph inputs and outputs in QNN's shared memory, on stand-ins for the phone's libraries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.runtime.toolchain import find_compiler
from tests.cpp.conftest import RunnerResult, Toy

STAND_IN = Path(__file__).with_name("shared_memory_stand_in.cpp")


@pytest.fixture(scope="session")
def libraries_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty libcdsprpc.so, and the delegate's functions."""
    folder = tmp_path_factory.mktemp("stand_in")
    compiler = [find_compiler(), "-std=c++17", "-shared", "-fPIC", "-o"]
    subprocess.run([*compiler, folder / "libstand_in.so", STAND_IN], check=True)
    (folder / "rpc").mkdir()
    rpc = folder / "rpc" / "libcdsprpc.so"
    subprocess.run([*compiler, rpc, "-x", "c++", "/dev/null"], check=True)
    return folder


@pytest.fixture
def stand_in(libraries_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Preloads the delegate's functions; gives the file they will write their counts to."""
    monkeypatch.setenv("LD_PRELOAD", str(libraries_dir / "libstand_in.so"))
    monkeypatch.setenv("VLM_STAND_IN_LOG", str(tmp_path / "counts.json"))
    return tmp_path / "counts.json"


@pytest.fixture
def rpc_library(libraries_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries_dir / "rpc"))


def settings(result: RunnerResult) -> dict[str, Any]:
    assert result.report is not None
    found: dict[str, Any] = result.report["settings"]
    return found


@pytest.mark.usefixtures("rpc_library")
@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_shared_memory_is_used_registered_and_freed(toy: Toy, stand_in: Path, mode: str) -> None:
    result = toy.run(toy.request(mode=mode))
    assert result.turn["generated_token_ids"] == toy.answer("two_images", mode)
    assert settings(result)["shared_memory"] == "rpc"
    counts = json.loads(stand_in.read_text())
    assert counts["allocated"] > 0
    # Per graph: masks, positions, hidden states, logits and two layers' K and V, in and out.
    assert counts["registered"] >= 12
    assert counts["left"] == 0
    assert counts["strangers"] == 0


def test_without_the_rpc_library_the_delegate_is_not_called(toy: Toy, stand_in: Path) -> None:
    result = toy.run(toy.request())
    assert result.turn["generated_token_ids"] == toy.answer("two_images", "kv")
    assert settings(result)["shared_memory"] == "ordinary"
    assert "libcdsprpc.so" in settings(result)["shared_memory_reason"]
    assert not stand_in.exists() or json.loads(stand_in.read_text())["allocated"] == 0


@pytest.mark.usefixtures("rpc_library")
def test_shared_memory_off_says_so(toy: Toy, stand_in: Path) -> None:
    result = toy.run(toy.request(shared_memory="off"))
    assert settings(result)["shared_memory"] == "ordinary"
    assert settings(result)["shared_memory_reason"] == "the request says off"
    assert not stand_in.exists() or json.loads(stand_in.read_text())["allocated"] == 0


@pytest.mark.usefixtures("rpc_library")
@pytest.mark.parametrize("limit", [0, 2])
def test_shared_memory_that_runs_out_is_replaced_and_told(
    toy: Toy, stand_in: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setenv("VLM_STAND_IN_FAILS_AFTER", str(limit))
    result = toy.run(toy.request(mode="hybrid"))
    assert result.turn["generated_token_ids"] == toy.answer("two_images", "hybrid")
    assert settings(result)["shared_memory"] == "ordinary"
    assert "gave no shared memory" in settings(result)["shared_memory_reason"]
    counts = json.loads(stand_in.read_text())
    assert counts["allocated"] == limit
    assert counts["left"] == 0
