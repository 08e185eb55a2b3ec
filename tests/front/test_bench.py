"""Sessions on several phones: work goes to whichever is free, trouble is nobody's failure."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE

from .lab import Lab, open_lab
from .sessions import Bench, SessionOutcome
from .workplace import Workplace, case, reply

CASES = 12


@pytest.fixture(scope="module")
def lab(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three phones behind one server; the middle one loses every run half-way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache_dir))
        faults = {1: ["drop_command={pattern: setsid, after_s: 0.1}"]}
        with open_lab(tmp_path_factory.mktemp("lab"), (3,), faults) as opened:
            yield opened


@pytest.fixture(scope="module")
def busy_work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A dozen cases whose runner takes a quarter of a second."""
    work = Workplace(tmp_path_factory.mktemp("work") / "busy")
    work.write_spec(cases={f"case{n}": case(f"Which colour, {n}?") for n in range(CASES)})
    work.write_bundle(target="simulator")
    work.write_runtime(reply("the shape is red", sleep_s=0.4))
    return work


@pytest.fixture(scope="module")
def done(bench: Bench, lab: Lab, busy_work: Workplace) -> SessionOutcome:
    args = [*busy_work.args, *lab.args, "-m", "accuracy", "-v", "-n", "auto"]
    return bench.run([*args, "--lease-seconds", "8"])


def test_bench_all_tests_pass_though_one_phone_loses_every_run(done: SessionOutcome) -> None:
    assert done.exit_status == 0, done.output
    assert set(done.outcomes().values()) == {"passed"}
    assert len(done.tests) == CASES


def test_bench_trouble_is_recorded_with_the_phone_that_gave_it(
    done: SessionOutcome, lab: Lab
) -> None:
    lines = done.output.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(lab.phones[1].serial))
    assert "0 runs, health " in lines[start]
    assert "DeviceLost: the link to" in lines[start + 1]


def test_bench_phone_that_keeps_failing_is_quarantined_and_the_bench_is_to_blame(
    bench: Bench, lab: Lab, busy_work: Workplace
) -> None:
    args = [*busy_work.args, *lab.args, "-m", "accuracy", "-k", "case1]", "--label", "phone-1"]
    done = bench.run(args)
    message = done.only_error()
    assert done.exit_status == 70
    assert "2 attempts before it failed, too" in message
    assert f"{lab.phones[1].serial} at 127.0.0.1:" in done.output
    assert "quarantined: 3 troubles, last: the link to" in done.output
    evidence = Path(message.splitlines()[-1].split()[-1])
    assert lab.phones[1].serial in (evidence / "repeat.sh").read_text()
    assert "getprop.txt: " in (evidence / "missing.txt").read_text(), "the link was down"


def test_bench_work_goes_to_both_good_phones(done: SessionOutcome, lab: Lab) -> None:
    serials = {test.properties["device.serial"] for test in done.tests.values()}
    assert serials == {lab.phones[0].serial, lab.phones[2].serial}


def test_bench_auto_is_one_worker_per_fit_phone(done: SessionOutcome) -> None:
    assert "created: 3/3 workers" in done.output, done.output


def test_bench_nothing_is_left_on_the_phones(done: SessionOutcome, lab: Lab, bench: Bench) -> None:
    for name in lab.names:
        disk = bench.disk(name)
        assert not disk.run_folders()
        assert not disk.runners()
        assert not list((disk.data_dir / "store").glob("*.part"))


def test_bench_worker_killed_in_mid_run_is_no_failure_and_junit_is_whole(
    bench: Bench, lab: Lab, tmp_path: Path
) -> None:
    work = Workplace(tmp_path / "work")
    work.write_spec(cases={f"case{n}": case(f"Which colour, {n}?") for n in range(6)})
    work.write_bundle(target="simulator")
    work.write_runtime(reply("the shape is red", sleep_s=1.5))
    args = [*work.args, *lab.args, "-m", "accuracy", "-n", "2", "--lease-seconds", "4"]
    session = bench.start([*args, "--label", "phone-0", "--label", "host-0"])
    disk = bench.disk(lab.names[0])
    session.wait_for(disk.runners, "a runner on the phone")
    victim = worker_that_holds(session.process.pid)
    os.kill(victim, signal.SIGKILL)
    finished = session.finish()
    assert set(finished.outcomes().values()) == {"passed"}, finished.output
    assert len(finished.tests) == 6
    assert finished.exit_status == 0
    assert not disk.run_folders()
    assert not disk.runners()


def worker_that_holds(controller: int) -> int:
    """The worker that holds a connection to a phone; else any of them."""
    children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    for child in children:
        open_files = [str(fd.readlink()) for fd in Path(f"/proc/{child}/fd").iterdir()]
        if any("/leases/" in name for name in open_files):
            return int(child)
    return int(children[0])


def test_bench_session_killed_and_resumed_repeats_no_finished_run(
    bench: Bench, lab: Lab, tmp_path: Path
) -> None:
    work = Workplace(tmp_path / "work")
    work.write_spec(cases={f"case{n}": case(f"Which colour, {n}?") for n in range(6)})
    work.write_bundle(target="simulator")
    work.write_runtime(reply("the shape is red", sleep_s=0.7))
    args = [*work.args, *lab.args, "-m", "accuracy", "--label", "phone-0", "--lease-seconds", "4"]
    session = bench.start(args)
    runs = lambda: set((bench.cache_dir / "sessions").glob("*/*/runs/*.json"))  # noqa: E731
    known = runs()
    session.wait_for(lambda: len(runs() - known) >= 2, "two finished runs")
    os.killpg(session.process.pid, signal.SIGKILL)
    session.process.communicate()
    before = {path: path.stat().st_mtime_ns for path in runs() - known}
    assert len(before) < 6
    finished = bench.run([*args, "--resume"])
    assert finished.exit_status == 0, finished.output
    assert len(finished.tests) == 6
    assert f"{len(before)} runs are done already" in finished.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(runs() - known) == 6
    assert not bench.disk(lab.names[0]).run_folders()


def test_bench_resume_of_a_running_session_is_refused(
    bench: Bench, lab: Lab, tmp_path: Path
) -> None:
    work = Workplace(tmp_path / "work").furnish("simulator", reply("the shape is red", sleep_s=30))
    args = [*work.args, *lab.args, "-m", "accuracy", "--label", "phone-2"]
    session = bench.start(args)
    session.wait_for(bench.disk(lab.names[2]).runners, "a runner on the phone")
    refused = bench.run([*args, "--resume"])
    assert "it is still running" in refused.output
    os.killpg(session.process.pid, signal.SIGINT)
    session.finish()
    end = time.monotonic() + 10
    while bench.disk(lab.names[2]).run_folders():
        assert time.monotonic() < end


def test_bench_file_with_mistakes_tells_all_of_them(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(
        "schema: 1\nhosts:\n- name: a\n  adb: nowhere\n  phones:\n"
        "  - {serial: X, soc: SM9999, lables: [a]}\n"
    )
    done = bench.run(["--bench", str(path)])
    assert done.exit_status == 4
    assert "3 problems" in done.output
    for place in ("$.hosts[0].adb", "$.hosts[0].phones[0].soc", "$.hosts[0].phones[0].lables"):
        assert place in done.output


def test_bench_without_a_fitting_phone_says_which_there_are(bench: Bench, lab: Lab) -> None:
    done = bench.run([*lab.args, "--soc", "SM8650"])
    assert done.exit_status == 4
    assert f"{lab.phones[0].serial} (SM8750)" in done.output


def test_bench_phone_that_is_unfit_is_not_used_and_the_reason_is_told(
    bench: Bench, lab: Lab, busy_work: Workplace
) -> None:
    args = [*busy_work.args, *lab.args, "-m", "accuracy", "-k", "case1]"]
    done = bench.run([*args, "--min-battery", "99", "--lease-timeout", "1"])
    message = done.only_error()
    assert done.exit_status == 70
    assert "its battery is at 87 %, 99 % are wanted" in message
