"""Compiler processes: side by side, once, and leaving nothing half-made.

The worker is replaced by a small script, so that no torch is needed; everything else,
processes and signals included, is as in a real compile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compile.job import PARENT_VARIABLE, RESULT_NAME, Job
from harness.compile.plan import BundleRequest, plan_jobs
from harness.compile.process import CompilerProcesses, Stage
from harness.compile.stack import CompilerStack
from harness.errors import CompileError
from harness.spec import override_recipe

WORKER = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
part = json.loads((folder / "job.json").read_text())["part"]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(f"{part} {os.getpid()}\\n")
print(json.dumps({"stage": "working"}), flush=True)
print("third-party chatter", file=sys.stderr, flush=True)
if part == "dies":
    (folder / "error.json").write_text(json.dumps(
        {"doing": "lowering", "problem": "operator foo", "expected": "bar", "hint": None}))
    sys.exit(1)
if part == "crashes":
    os.kill(os.getpid(), 9)
if part != os.environ.get("NO_NAP"):
    time.sleep(float(os.environ.get("NAP", "0")))
(folder / "result.json").write_text("{}")
"""

COMPILE_ONE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_process import a_job, processes
processes(Path(sys.argv[1]), []).run({{"slow": a_job("slow")}})
"""


def a_job(part: str) -> Job:
    return Job(part, "smolvlm", "somewhere", "0" * 64, 128, 128, (), soc="SM8750")


def processes(folder: Path, stages: list[Stage]) -> CompilerProcesses:
    """Compiler processes whose worker is the script above; `folder` holds their cache."""
    worker = folder / "worker.py"
    worker.write_text(WORKER)
    os.environ["CALLS"] = str(folder / "calls")
    stack = CompilerStack({}, folder, "")
    command = (sys.executable, str(worker))
    return CompilerProcesses(stack, folder / "cache", stages.append, command)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in (folder / "cache").glob(".*.tmp.*")]


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLS", "")
    monkeypatch.delenv("NAP", raising=False)


def test_results_are_kept_and_told(tmp_path: Path) -> None:
    stages: list[Stage] = []
    folders = processes(tmp_path, stages).run({"a": a_job("a"), "b": a_job("b")})
    assert all((folder / RESULT_NAME).is_file() for folder in folders.values())
    of_a = [stage for stage in stages if stage.part == "a"]
    assert {"working", "done"} <= {stage.stage for stage in of_a}
    assert {stage.log.read_text() for stage in of_a} == {"third-party chatter\n"}


def test_second_run_starts_no_process(tmp_path: Path) -> None:
    processes(tmp_path, []).run({"a": a_job("a")})
    stages: list[Stage] = []
    processes(tmp_path, stages).run({"a": a_job("a")})
    assert calls(tmp_path) == ["a"]
    assert [stage.stage for stage in stages] == ["cached"]


def test_changed_recipe_of_one_component_compiles_that_one_only(
    tmp_path: Path, request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    jobs = plan_jobs(request_hybrid, checkpoint_dir)
    processes(tmp_path, []).run(jobs)
    before = calls(tmp_path)
    spec = override_recipe(request_hybrid.spec, ["vision_encoder=fp16"])
    changed = plan_jobs(replace(request_hybrid, spec=spec), checkpoint_dir)
    processes(tmp_path, []).run(changed)
    assert sorted(before) == sorted(jobs)
    assert calls(tmp_path)[len(before) :] == ["vision_encoder"]


def test_failure_tells_the_workers_words_and_keeps_its_log(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        processes(tmp_path, []).run({"dies": a_job("dies")})
    assert "lowering: operator foo" in str(caught.value)
    assert caught.value.expected == "bar"
    assert Path(str(caught.value.log)).read_text() == "third-party chatter\n"
    assert leftovers(tmp_path) == []


def test_killed_worker_is_named_with_its_signal(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="signal 9") as caught:
        processes(tmp_path, []).run({"crashes": a_job("crashes")})
    assert "memory" in str(caught.value.hint)


def test_failure_stops_the_other_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAP", "60")
    with pytest.raises(CompileError, match="operator foo"):
        processes(tmp_path, []).run({"slow": a_job("slow"), "dies": a_job("dies")})
    assert leftovers(tmp_path) == []
    assert not any(
        path.name.startswith("slow") and path.is_dir() for path in (tmp_path / "cache").iterdir()
    )


def start_compile(folder: Path, nap_s: float) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(COMPILE_ONE).format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "NAP": str(nap_s)}
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment)


def test_two_processes_compile_once(tmp_path: Path) -> None:
    both = [start_compile(tmp_path, nap_s=1.0) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert calls(tmp_path) == ["slow"]


def test_killed_compile_leaves_no_half_result(tmp_path: Path) -> None:
    process = start_compile(tmp_path, nap_s=600.0)
    deadline = time.monotonic() + 60
    while not calls(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker_pid = int((tmp_path / "calls").read_text().split()[1])
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(worker_pid, signal.SIGKILL)  # this stand-in does not watch its parent
    results = list((tmp_path / "cache").glob(f"slow-*/{RESULT_NAME}"))
    assert results == []
    processes(tmp_path, []).run({"slow": a_job("slow")})  # the lock died with its holder
    assert list((tmp_path / "cache").glob(f"slow-*/{RESULT_NAME}"))


def test_worker_whose_parent_is_gone_ends_at_once(tmp_path: Path) -> None:
    worker = [sys.executable, "-P", "-m", "harness.compile.worker", str(tmp_path), "log"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        PARENT_VARIABLE: "1",  # not the one that starts it
    }
    done = subprocess.run(worker, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == b""  # not even a first stage was told
    assert list(tmp_path.iterdir()) == []


def test_compile_killed_after_one_component_does_not_redo_it(tmp_path: Path) -> None:
    parts = {part: a_job(part) for part in ("quick", "text_decoder")}
    both = '{part: a_job(part) for part in ("quick", "text_decoder")}'
    script = COMPILE_ONE.format(tests=str(Path(__file__).parent))
    first = subprocess.Popen(
        [sys.executable, "-c", script.replace('{"slow": a_job("slow")}', both), str(tmp_path)],
        env={**os.environ, "NAP": "30", "NO_NAP": "quick"},
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cache/quick-*/result.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    first.wait()
    processes(tmp_path, []).run(parts)
    assert calls(tmp_path).count("quick") == 1
    assert (tmp_path / "calls").read_text().count("text_decoder") == 2


def test_second_compile_of_a_kind_knows_how_long_the_first_took(tmp_path: Path) -> None:
    first: list[Stage] = []
    second: list[Stage] = []
    processes(tmp_path, first).run({"slow": a_job("slow")})
    other = replace(a_job("slow"), checkpoint_sha256="1" * 64)
    processes(tmp_path, second).run({"slow": other})
    assert {stage.expected_s for stage in first} == {None}
    assert all(stage.expected_s is not None for stage in second)
    assert "of about" in second[0].timing
