"""A soak: eight phones that fail at random, four workers, then a kill and `--resume`.

The short version is part of the default run; `tox -e soak` runs 200 tests.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.device import Deadline, Device, Lease, open_device, take_lease
from harness.errors import DeviceBusy

from ..front.lab import Lab, open_lab
from ..front.sessions import Bench, SessionOutcome
from ..front.workplace import Workplace, case, reply
from .conftest import SOAK_TESTS

PHONES = 8
WORKERS = 4
# What a phone may do now and then; each some times, then it is well again.
TEMPERS = (
    "drop_command={{pattern: setsid -w, after_s: 0.2, times: {times}}}",
    "reboot_command={{pattern: setsid -w, after_s: 0.1, times: {times}}}",
    "kill_command={{pattern: vlm_runner --request, after_s: 0.1, times: {times}}}",
    "no_exit_code={{pattern: setsid -w, times: {times}}}",
    "garble_command={{pattern: setsid -w, times: {times}}}",
    "drop_after_bytes=3000",
    "corrupt_push=5000",
    "slow_ack=0.01",
)
NAMED = ("infra",)


@pytest.fixture(scope="module")
def lab(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    dice = random.Random(20261122)
    tempers = dice.sample(TEMPERS, PHONES)
    times = max(1, SOAK_TESTS // 50)
    faults = {n: [temper.format(times=times)] for n, temper in enumerate(tempers)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache_dir))
        with open_lab(tmp_path_factory.mktemp("soak"), (PHONES,), faults) as opened:
            yield opened


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("work") / "soak")
    place.write_spec(cases={f"case{n}": case(f"Which colour, {n}?") for n in range(SOAK_TESTS)})
    place.write_bundle(target="simulator")
    place.write_runtime(reply("the shape is red", sleep_s=0.3))
    return place


def args_of(work: Workplace, lab: Lab) -> list[str]:
    args = [*work.args, *lab.args, "-m", "accuracy", "-n", str(WORKERS)]
    return [*args, "--lease-seconds", "5"]


def run_files(bench: Bench) -> Mapping[Path, int]:
    """Finished runs on disk, with the time they were written."""
    found = (bench.cache_dir / "sessions").glob("*/*/runs/*.json")
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def killed_at(bench: Bench, lab: Lab, work: Workplace) -> Mapping[Path, int]:
    """What a session had finished when it was killed, workers and all, in the middle."""
    session = bench.start(args_of(work, lab))
    session.wait_for(lambda: len(run_files(bench)) >= SOAK_TESTS // 3, "a third of the runs")
    os.killpg(session.process.pid, signal.SIGKILL)
    session.process.communicate()
    return run_files(bench)


@pytest.fixture(scope="module")
def resumed(
    bench: Bench, lab: Lab, work: Workplace, killed_at: Mapping[Path, int]
) -> SessionOutcome:
    return bench.run([*args_of(work, lab), "--resume"])


def test_soak_each_test_ends_in_a_verdict_or_a_named_trouble(resumed: SessionOutcome) -> None:
    assert len(resumed.tests) == SOAK_TESTS, resumed.output
    for name, test in resumed.tests.items():
        named = test.outcome == "error" and test.properties.get("failure.class") in NAMED
        assert test.outcome == "passed" or named, (name, test)
    assert resumed.exit_status in (0, 70)


def test_soak_no_finished_run_is_made_twice(
    bench: Bench, killed_at: Mapping[Path, int], resumed: SessionOutcome
) -> None:
    after = run_files(bench)
    assert SOAK_TESTS // 3 <= len(killed_at) < SOAK_TESTS
    assert {path: after[path] for path in killed_at} == killed_at
    passed = sum(test.outcome == "passed" for test in resumed.tests.values())
    assert len(after) == passed


def take_when_free(device: Device) -> Lease:
    """The lease of a phone, which sweeps what a killed holder left."""
    deadline = Deadline(20)
    while True:
        try:
            return take_lease(device)
        except DeviceBusy:
            deadline.check("waiting for a lease to expire")
            time.sleep(0.1)


def test_soak_leaves_nothing_on_the_phones(bench: Bench, lab: Lab, resumed: SessionOutcome) -> None:
    for name, phone in zip(lab.names, lab.phones, strict=True):
        server = lab.servers[0].server
        server.connect_tcp(phone.serial)  # the killed session may have been reconnecting it
        take_when_free(open_device(server, phone.serial)).release()
        disk = bench.disk(name)
        assert not disk.run_folders(), name
        assert not disk.runners(), name


def test_soak_trouble_is_in_the_summary(resumed: SessionOutcome, lab: Lab) -> None:
    assert sum(f"{phone.serial} at " in resumed.output for phone in lab.phones) == PHONES
