"""A phone that a real labgrid coordinator hands out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.bench.labgrid import show_place
from harness.errors import DeviceError

from .sessions import Bench
from .workplace import Workplace, reply

PROGRAMS_DIR = Path(sys.executable).parent
START_S = 60.0


def client(*args: str) -> str:
    """What `labgrid-client` says."""
    command = [PROGRAMS_DIR / "labgrid-client", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def coordinator(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a coordinator that knows a place for our phone, and one without tags."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("labgrid")  # where it keeps its places
    with (
        subprocess.Popen(
            [PROGRAMS_DIR / "labgrid-coordinator", "-l", address],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("LG_COORDINATOR", address)
        try:
            _create("bare")
            _create("phone")
            server = bench.server.server
            tags = [f"serial={bench.simulated.serial}", f"adb={server.address}"]
            client("-p", "phone", "set-tags", *tags)
            yield address
        finally:
            process.terminate()


def _create(place: str) -> None:
    """Make a place, as soon as the coordinator listens."""
    end = time.monotonic() + START_S
    while True:
        try:
            client("-p", place, "create")
            return
        except subprocess.CalledProcessError:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.fixture(autouse=True)
def _use_coordinator(coordinator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_COORDINATOR", coordinator)


def args_of(work: Workplace, place: str = "phone") -> list[str]:
    return [*work.args, "-m", "accuracy", "--lease", f"labgrid:{place}"]


def holder() -> str | None:
    return show_place("phone").holder


def test_labgrid_phone_of_the_place_is_used_and_given_back(
    bench: Bench, simulated_work: Workplace
) -> None:
    done = bench.run([*args_of(simulated_work), "-n", "2"])
    assert done.exit_status == 0, done.output
    (test,) = done.tests.values()
    assert test.properties["device.serial"] == bench.simulated.serial
    assert re.search(r"labgrid: \S+ has phone, which is ", done.output)
    assert holder() is None


def test_labgrid_place_is_held_during_the_session_and_released_after_ctrl_c(
    bench: Bench, tmp_path: Path
) -> None:
    work = Workplace(tmp_path / "work").furnish("simulator", reply("the shape is red", sleep_s=60))
    session = bench.start(args_of(work))
    disk = bench.disk("SM8750-simulated")
    session.wait_for(disk.runners, "a runner on the phone")
    held_by = holder()
    lease = list((disk.data_dir / "lease").glob("*/holder"))
    refused = bench.run(args_of(work))
    os.killpg(session.process.pid, signal.SIGINT)
    interrupted = session.finish()
    assert held_by is not None
    assert lease, "our own lease holds beside labgrid's"
    assert refused.exit_status == 70
    assert f"{held_by} has it" in refused.output
    assert f"release-from {held_by}" in refused.output
    assert interrupted.exit_status == 2, interrupted.output
    assert holder() is None
    assert not disk.run_folders()


def test_labgrid_place_is_released_after_a_failure(bench: Bench, tmp_path: Path) -> None:
    work = Workplace(tmp_path / "work").furnish("simulator", reply("the shape is blue"))
    assert bench.run(args_of(work)).exit_status == 1
    assert holder() is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere", ["place pattern nowhere matches nothing", "labgrid-client places"]),
        ("bare", ["it has no tag `serial`", "labgrid-client -p bare set-tags serial=SERIAL"]),
    ],
)
def test_labgrid_place_that_names_no_phone_is_a_mistake_of_the_user(
    bench: Bench, simulated_work: Workplace, place: str, words: list[str]
) -> None:
    done = bench.run(args_of(simulated_work, place))
    assert done.exit_status == 4
    for word in words:
        assert word in done.output
    assert "Traceback" not in done.output


def test_labgrid_place_of_another_user_is_trouble_of_the_bench(
    bench: Bench, simulated_work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("LG_USERNAME", "somebody")
        client("-p", "phone", "acquire")
    try:
        done = bench.run(args_of(simulated_work))
        still = holder()
    finally:
        with suppress(DeviceError):
            client("-p", "phone", "release", "--kick")
    assert done.exit_status == 70
    assert "/somebody has it" in done.output
    assert still is not None and still.endswith("/somebody")


def test_labgrid_coordinator_that_is_not_there_is_trouble_of_the_bench(
    bench: Bench, simulated_work: Workplace
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    done = bench.run(args_of(simulated_work), environ={"LG_COORDINATOR": nobody})
    assert done.exit_status == 70
    assert "Could not connect to coordinator" in done.output
    assert f"LG_COORDINATOR is {nobody}" in done.output


def test_labgrid_client_that_is_missing_is_named(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    # A Python of its own folder, beside which no client lies; the packages are ours.
    (tmp_path / "bin").mkdir()
    for name in ("sh", "env"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    probe = (
        "import sys; sys.executable = sys.argv[1]\n"
        "from harness.bench.labgrid import acquire_place\n"
        "from harness.errors import InputError\n"
        "try: acquire_place('phone')\n"
        "except InputError as err: print(err)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path / "bin/python")],
        env=bench.environ(PATH=str(tmp_path / "bin")),
        capture_output=True,
        text=True,
    )
    assert "there is no labgrid-client in $PATH" in done.stdout, done.stderr
    assert "python -m pip install labgrid" in done.stdout


def test_labgrid_and_a_serial_contradict_each_other(
    bench: Bench, simulated_work: Workplace
) -> None:
    done = bench.run([*args_of(simulated_work), "--serial", "virtual"])
    assert done.exit_status == 4
    assert "--lease and --serial contradict each other" in done.output
