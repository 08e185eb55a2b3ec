"""Runs that do not end by themselves: too long, interrupted, or the link breaks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.device import LocalFile, PrivateServer, RunPlan, run, run_on_device
from harness.errors import DeadlineExceeded, DeviceLost

FileMaker = Callable[[str, bytes], LocalFile]
Bench = Any  # of conftest.py
BenchStarter = Callable[..., Bench]
PlanMaker = Callable[..., RunPlan]
WaitUntil = Callable[[Callable[[], bool], str], None]
IsRunning = Callable[[int], bool]


@pytest.fixture
def pid_path(tmp_path: Path) -> Path:
    """Where a runner writes the ids of its processes (the virtual phone's are the host's)."""
    return tmp_path / "pids"


@pytest.fixture
def pids(pid_path: Path) -> Iterator[Callable[[], list[int]]]:
    def read() -> list[int]:
        return [int(word) for word in pid_path.read_text().split()] if pid_path.exists() else []

    yield read
    for pid in read():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def hang(pid_path: Path) -> str:
    """A runner with a child, both deaf to polite signals."""
    return (
        f'trap "" TERM HUP INT; sleep 100 & echo $$ $! >{pid_path}.new; '
        f"mv {pid_path}.new {pid_path}; echo last words >&2; wait; sleep 100"
    )


def test_run_over_its_time_is_killed_on_the_phone(
    bench: Bench,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    is_running: IsRunning,
) -> None:
    with pytest.raises(DeadlineExceeded, match="killed on the device") as caught:
        run_on_device(bench.device, make_plan(hang(pid_path), timeout_s=1.0))
    assert len(pids()) == 2
    assert not any(map(is_running, pids()))
    assert bench.run_folders() == []
    assert caught.value.serial == bench.device.serial
    assert caught.value.timeout_s == 1.0
    assert caught.value.stderr == "last words\n"


def test_run_babbling_runner_does_not_stretch_the_deadline(
    bench: Bench, make_plan: PlanMaker
) -> None:
    plan = make_plan("while true; do echo babble; done", timeout_s=0.7)
    with pytest.raises(DeadlineExceeded, match="killed on the device"):
        run_on_device(bench.device, plan)
    assert bench.run_folders() == []


def test_run_over_its_time_needs_no_second_connection_to_be_killed(
    bench: Bench, make_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SWEEP_SCRIPT", "echo not needed")
    with pytest.raises(DeadlineExceeded, match="killed on the device"):
        run_on_device(bench.device, make_plan("sleep 100", timeout_s=0.5))


def test_run_whose_own_script_died_is_swept(
    bench: Bench,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    is_running: IsRunning,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "STOP_S", 0.5)
    # The runner's parent is the script: as if Android had killed it for lack of memory.
    plan = make_plan(f"echo $$ >{pid_path}; kill -9 $PPID; exec sleep 100", timeout_s=1.0)
    with pytest.raises(DeadlineExceeded, match="killed on the device"):
        run_on_device(bench.device, plan)
    assert not any(map(is_running, pids()))
    assert bench.run_folders() == []


def test_run_children_left_behind_by_the_runner_are_killed(
    bench: Bench,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    is_running: IsRunning,
) -> None:
    plan = make_plan(f"sleep 100 >/dev/null 2>&1 & echo $! >{pid_path}; echo done")
    assert run_on_device(bench.device, plan).stdout == "done\n"
    assert not any(map(is_running, pids()))


def test_run_interrupted_by_the_user_cleans_the_phone(
    bench: Bench,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    wait_until: WaitUntil,
    is_running: IsRunning,
) -> None:
    main_thread = threading.get_ident()

    def interrupt() -> None:
        wait_until(lambda: bool(pids()), "the runner's start")
        signal.pthread_kill(main_thread, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_on_device(bench.device, make_plan(hang(pid_path), timeout_s=60))
    thread.join()
    assert not any(map(is_running, pids()))
    assert bench.run_folders() == []


def test_run_two_at_once_do_not_collide(bench: Bench, make_plan: PlanMaker) -> None:
    plan = make_plan("cat request.json >report.json; sleep 0.3; cat request.json")
    outcomes: dict[int, str] = {}

    def go(number: int) -> None:
        own = RunPlan(plan.files, str(number).encode(), plan.executable, plan.timeout_s)
        outcomes[number] = run_on_device(bench.device, own).stdout

    threads = [threading.Thread(target=go, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {0: "0", 1: "1", 2: "2"}


def test_run_server_killed_in_mid_run_is_lost_and_the_phone_cleans_up(
    start_bench: BenchStarter,
    own_server: PrivateServer,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    wait_until: WaitUntil,
    is_running: IsRunning,
) -> None:
    bench = start_bench(own_server)

    def kill() -> None:
        wait_until(lambda: bool(pids()), "the runner's start")
        own_server.stop()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(DeviceLost, match=r"adb server at .* no longer answers") as caught:
        run_on_device(bench.device, make_plan(hang(pid_path), timeout_s=60))
    thread.join()
    assert caught.value.serial == bench.device.serial
    wait_until(lambda: not any(map(is_running, pids())), "the end of the runner")
    wait_until(lambda: bench.run_folders() == [], "the end of the run folder")


def test_run_link_dropped_in_mid_run_is_lost(
    start_bench: BenchStarter,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    wait_until: WaitUntil,
    is_running: IsRunning,
) -> None:
    bench = start_bench(faults=["drop_command={pattern: setsid, after_s: 0.5}"])
    with pytest.raises(DeviceLost):
        run_on_device(bench.device, make_plan(hang(pid_path), timeout_s=60))
    wait_until(lambda: not any(map(is_running, pids())), "the end of the runner")
    wait_until(lambda: bench.run_folders() == [], "the end of the run folder")


def test_run_stream_closed_without_exit_code_is_lost(
    start_bench: BenchStarter, make_plan: PlanMaker
) -> None:
    bench = start_bench(faults=["no_exit_code=setsid"])
    with pytest.raises(DeviceLost, match="connected again"):
        run_on_device(bench.device, make_plan("exit 0"))
    assert bench.run_folders() == []


def test_run_wedged_phone_does_not_hang_the_host(
    start_bench: BenchStarter,
    make_plan: PlanMaker,
    pid_path: Path,
    pids: Callable[[], list[int]],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "STOP_S", 0.3)
    monkeypatch.setattr(run, "SWEEP_S", 0.3)
    bench = start_bench()

    def wedge() -> None:
        wait_until(lambda: bool(pids()), "the runner's start")
        bench.phone.process.send_signal(signal.SIGSTOP)

    thread = threading.Thread(target=wedge)
    thread.start()
    try:
        with pytest.raises(DeadlineExceeded, match="does not answer"):
            run_on_device(bench.device, make_plan(hang(pid_path), timeout_s=1.0))
    finally:
        thread.join()
        bench.phone.process.send_signal(signal.SIGCONT)
