"""Devices that are not there, not usable, or that misbehave: errors of the bench."""

from __future__ import annotations

import pytest

from harness.device import PrivateServer

from .conftest import StartPhone
from .sessions import Bench, SessionOutcome
from .workplace import RED, STOP_ID, Workplace, case, prompt_ids, reply


def test_serial_that_is_absent_is_one_error(bench: Bench, simulated_work: Workplace) -> None:
    done = bench.run([*simulated_work.args, *bench.adb_args, "--serial", "NOPE"])
    message = done.only_error()
    assert done.exit_status == 70
    assert "opening device NOPE: the adb server at" in message
    assert bench.simulated.serial in message
    assert len(done.tests) == 1, "the session ends when no device is left"
    assert "no usable device is left: the remaining tests were not run" in done.output


def test_several_phones_and_no_serial_is_one_error(bench: Bench, simulated_work: Workplace) -> None:
    done = bench.run([*simulated_work.args, *bench.adb_args])
    message = done.only_error()
    assert done.exit_status == 70
    assert "2 devices and no --serial" in message
    assert f"{bench.simulated.serial} (device)" in message
    assert "hint:     --serial 127.0.0.1:" in message


def test_soc_that_contradicts_the_phone_is_one_error(
    bench: Bench, simulated_work: Workplace
) -> None:
    done = bench.run([*simulated_work.args, *bench.args(bench.simulated), "--soc", "SM8650"])
    message = done.only_error()
    assert done.exit_status == 70
    assert "--soc SM8650 was asked for, but its ro.soc.model says 'SM8750'" in message
    assert "--soc SM8750" in message


@pytest.mark.parametrize(
    ("fault", "hint"), [("offline", "adb disconnect"), ("unauthorized", "accept this computer")]
)
def test_phone_that_adb_cannot_use_is_one_error(
    bench: Bench, simulated_work: Workplace, start_phone: StartPhone, fault: str, hint: str
) -> None:
    phone = start_phone(bench.server, fault)
    done = bench.run([*simulated_work.args, *bench.args(phone)])
    message = done.only_error()
    assert done.exit_status == 70
    assert f"opening device {phone.serial}: it is {fault}" in message
    assert hint in message


def test_no_adb_is_one_error(bench: Bench, simulated_work: Workplace) -> None:
    environ = {"ADBUTILS_ADB_PATH": "/nonexistent/adb"}
    done = bench.run([*simulated_work.args, "--serial", "virtual"], environ=environ)
    message = done.only_error()
    assert done.exit_status == 70
    assert "ADBUTILS_ADB_PATH=/nonexistent/adb is not an executable file" in message


def test_no_adb_server_where_the_user_says_is_one_error(
    bench: Bench, simulated_work: Workplace
) -> None:
    done = bench.run([*simulated_work.args, "--serial", "X", "--adb-port", "1"])
    message = done.only_error()
    assert done.exit_status == 70
    assert "127.0.0.1:1: nothing listens there" in message
    assert "start-server" in message


def test_full_disk_is_one_error(
    bench: Bench, simulated_work: Workplace, start_phone: StartPhone
) -> None:
    phone = start_phone(bench.server, "disk_full=1000", name="full")
    done = bench.run([*simulated_work.args, *bench.args(phone), "-m", "accuracy or perf"])
    message = done.only_error()
    assert done.exit_status == 70
    assert phone.serial in message
    assert "space" in message or "free" in message
    assert not bench.disk("SM8750-full").run_folders()


# Case -> what its runner does, and what is said of it.
MISBEHAVIOUR = {
    "crash": ({"kind": "signal", "signal": 11}, "the runner was killed by signal 11"),
    "exits": ({"kind": "exit", "code": 3}, "the runner ended with exit code 3 and left no report"),
    "silent": ({"kind": "no_report"}, "the runner ended with exit code 0 and left no report"),
    "garbled": ({"kind": "garbled_report"}, "reading the runner's report"),
    "cut_off": ({"kind": "truncated_report"}, "reading the runner's report: not JSON"),
    "fails": (
        {"kind": "error", "code": 4, "name": "load_failed", "message": "no such PTE"},
        "load_failed: no such PTE",
    ),
}


@pytest.fixture(scope="module")
def misbehaving(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> SessionOutcome:
    """Six runners that go wrong, and one that does not."""
    work = Workplace(tmp_path_factory.mktemp("work") / "misbehaving")
    work.write_spec(cases={name: case(f"About {name}?") for name in [*MISBEHAVIOUR, "fine"]})
    work.write_bundle(target="simulator")
    spec = work.load_spec()
    replies = [
        {
            "match": {"prompt_token_ids": prompt_ids(spec, name)},
            "reply": {**RED, "misbehave": misbehaviour, "stderr": f"about to {name}"},
        }
        for name, (misbehaviour, _) in MISBEHAVIOUR.items()
    ]
    work.write_runtime(RED, replies)
    return bench.run([*work.args, *bench.args(bench.simulated), "-m", "accuracy"])


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_runner_that_misbehaves_is_an_error_with_its_last_words(
    misbehaving: SessionOutcome, name: str
) -> None:
    test = misbehaving.tests[f"test_answer[toy-hybrid-{name}]"]
    assert test.outcome == "error"
    assert MISBEHAVIOUR[name][1] in test.message
    assert f"| about to {name}" in test.message
    assert test.properties["failure.class"] == "runner"


def test_runner_that_misbehaves_spoils_no_other_case(
    bench: Bench, misbehaving: SessionOutcome
) -> None:
    assert misbehaving.tests["test_answer[toy-hybrid-fine]"].outcome == "passed"
    assert misbehaving.exit_status == 1
    assert not bench.disk("SM8750-simulated").run_folders()


def test_runner_that_hangs_is_killed_on_the_phone(bench: Bench, workplace: Workplace) -> None:
    hang = {"reply_token_ids": [STOP_ID], "misbehave": {"kind": "hang"}, "stderr": "thinking"}
    workplace.furnish("simulator", hang)
    args = [*workplace.args, *bench.args(bench.simulated), "--run-timeout", "2"]
    done = bench.run([*args, "-m", "accuracy"])
    message = done.only_error()
    assert done.exit_status == 70
    assert "no end after 2 s; killed on the device" in message
    assert "| thinking" in message
    disk = bench.disk("SM8750-simulated")
    assert not disk.run_folders()
    assert not disk.runners()


def test_adb_server_killed_in_mid_run_is_trouble_of_the_bench_not_of_the_model(
    bench: Bench, workplace: Workplace, own_server: PrivateServer, start_phone: StartPhone
) -> None:
    workplace.furnish("simulator", reply("the shape is red", sleep_s=60))
    phone = start_phone(own_server, name="cut-off")
    server = own_server.server
    args = ["--adb-host", server.host, "--adb-port", str(server.port), "--serial", phone.serial]
    session = bench.start([*workplace.args, *args])
    disk = bench.disk("SM8750-cut-off")
    session.wait_for(disk.runners, "a runner on the phone")
    own_server.stop()
    done = session.finish()
    message = done.only_error()
    assert done.exit_status == 70
    assert f"{server.address} no longer answers" in message
    assert done.tests["test_answer[toy-hybrid-red]"].properties["failure.class"] == "infra"
    assert "no usable device is left" in done.output
    assert not disk.runners()


def test_devices_of_one_session_are_given_up_one_by_one(
    bench: Bench, simulated_work: Workplace, start_phone: StartPhone
) -> None:
    phone = start_phone(bench.server, "offline", name="broken")
    args = bench.args(phone, bench.simulated)
    done = bench.run([*simulated_work.args, *args, "-m", "accuracy or size"])
    outcomes = done.outcomes()
    assert outcomes[f"test_answer[toy-hybrid@{phone.serial}-red]"] == "error"
    assert outcomes[f"test_size[toy-hybrid@{phone.serial}]"] == "error"
    assert outcomes[f"test_answer[toy-hybrid@{bench.simulated.serial}-red]"] == "passed"
    assert done.exit_status == 70
    assert done.output.count("plug the cable in again") == 1
