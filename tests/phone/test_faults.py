"""Each way a virtual phone misbehaves on request, seen from a real adb."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.virtual_phone.faults import (
    FAULT_NAMES,
    CommandFault,
    Faults,
    merge_faults,
    parse_fault_options,
    parse_faults,
)

from .conftest import ConnectedPhone, PrivateAdb, StartPhone, connect, wait_until

TMP = "/data/local/tmp"


@pytest.fixture
def megabyte(tmp_path: Path) -> Path:
    path = tmp_path / "megabyte"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def test_parse_fault_options_reads_values() -> None:
    found = parse_fault_options(
        ["offline", "disk_full=5", "kill_command={pattern: run, after_s: 2, times: 1}"]
    )
    assert found == Faults(
        offline=0, disk_full=5, kill_command=CommandFault(re.compile("run"), 2.0, 1)
    )


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("ofline", "unknown fault 'ofline'"),
        ("disk_full", "disk_full cannot be None"),
        ("disk_full=-1", "disk_full cannot be -1"),
        ("unauthorized=3", "takes no value"),
        ("slow_link=0", "not a positive number"),
        ("deny_push=tmp", "not an absolute path"),
        ("kill_command='['", "kill_command cannot be '['"),
        ("kill_command={after_s: 1}", "'pattern'"),
        ("kill_command={pattern: x, when: 1}", "unknown key when"),
        ("disk_full={", "is no YAML"),
    ],
)
def test_parse_fault_options_mistake_is_named(option: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_fault_options([option])
    assert complaint in str(caught.value)


def test_parse_faults_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        parse_faults(["offline", {"offline": 3}], "reading")


def test_merge_faults_command_line_wins() -> None:
    merged = merge_faults(Faults(wedge=1, disk_full=2), Faults(disk_full=3))
    assert merged == Faults(wedge=1, disk_full=3)


def test_every_fault_is_in_the_table() -> None:
    from harness.virtual_phone import faults

    documented = set(re.findall(r"^\| `(\w+)` \|", faults.__doc__ or "", re.MULTILINE))
    assert documented == set(FAULT_NAMES)


def test_offline_is_listed_as_offline(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = start_phone(faults=["offline"])
    adb.run("connect", phone.serial)
    wait_until(lambda: adb.states()[phone.serial] == "offline", "adb lists it as offline")
    result = adb.run("-s", phone.serial, "shell", "true")
    assert b"offline" in result.stderr


def test_offline_after_services_ends_the_next(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(faults=["offline=1"]))
    assert phone.text("echo first") == "first"
    assert phone.shell("echo second").stdout == b""
    wait_until(lambda: adb.states()[phone.phone.serial] == "offline", "adb lists it as offline")


def test_unauthorized_is_listed_as_unauthorized(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = start_phone(faults=["unauthorized"])
    assert b"failed to authenticate" in adb.run("connect", phone.serial).stdout
    assert adb.states()[phone.serial] == "unauthorized"


def test_disk_full_fails_the_push_and_shows_in_df(
    adb: PrivateAdb, start_phone: StartPhone, megabyte: Path, tmp_path: Path
) -> None:
    phone = connect(adb, start_phone(faults=["disk_full=600000"]))
    (tmp_path / "small").write_bytes(b"x" * 100_000)
    assert phone.run("push", str(tmp_path / "small"), f"{TMP}/small").returncode == 0
    result = phone.run("push", str(megabyte), f"{TMP}/large")
    assert result.returncode != 0
    assert b"No space left on device" in result.stderr + result.stdout
    assert phone.text(f"ls {TMP}") == "small"
    assert int(phone.text("df -k /data | tail -1").split()[3]) < 600


def test_drop_after_bytes_cuts_the_push_then_the_phone_is_back(
    adb: PrivateAdb, start_phone: StartPhone, megabyte: Path
) -> None:
    phone = connect(adb, start_phone(faults=["drop_after_bytes=500000"]))
    assert phone.run("push", str(megabyte), f"{TMP}/f").returncode != 0
    wait_until(lambda: adb.states()[phone.phone.serial] == "device", "adb connects again")
    assert phone.text(f"ls {TMP}") == ""
    assert phone.run("push", str(megabyte), f"{TMP}/f").returncode == 0


def test_wedge_answers_nothing_after_n_services(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(faults=["wedge=1"]))
    assert phone.text("echo alive") == "alive"
    with pytest.raises(subprocess.TimeoutExpired):
        phone.run("shell", "echo dead", timeout_s=1.0)


def test_slow_link_still_delivers(adb: PrivateAdb, start_phone: StartPhone, megabyte: Path) -> None:
    phone = connect(adb, start_phone(faults=["slow_link=4000000"]))
    assert phone.run("push", str(megabyte), f"{TMP}/f").returncode == 0
    assert phone.text(f"cat {TMP}/f | wc -c") == str(megabyte.stat().st_size)


def test_corrupt_push_stores_other_bytes_once(
    adb: PrivateAdb, start_phone: StartPhone, megabyte: Path, tmp_path: Path
) -> None:
    phone = connect(adb, start_phone(faults=["corrupt_push=300000"]))
    for attempt in ("first", "second"):
        assert phone.run("push", str(megabyte), f"{TMP}/{attempt}").returncode == 0
        phone.run("pull", f"{TMP}/{attempt}", str(tmp_path / attempt))
    sent = megabyte.read_bytes()
    first = (tmp_path / "first").read_bytes()
    assert [index for index in range(len(sent)) if sent[index] != first[index]] == [300_000]
    assert (tmp_path / "second").read_bytes() == sent


def test_deny_push_refuses_below_the_path(
    adb: PrivateAdb, start_phone: StartPhone, megabyte: Path
) -> None:
    phone = connect(adb, start_phone(faults=[f"deny_push={TMP}/locked"]))
    result = phone.run("push", str(megabyte), f"{TMP}/locked/f")
    assert b"Permission denied" in result.stderr + result.stdout
    assert phone.run("push", str(megabyte), f"{TMP}/open/f").returncode == 0


def battery_temperature(phone: ConnectedPhone) -> int:
    """In tenths of a degree, as Android tells it."""
    found = re.search(r"temperature: (\d+)", phone.text("dumpsys battery"))
    assert found is not None
    return int(found[1])


def test_heat_raises_the_temperatures(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(faults=["heat=1000"]))
    wait_until(lambda: battery_temperature(phone) > 500, "the battery is above 50 degrees")
    assert "Thermal Status: 6" in phone.text("dumpsys thermalservice")


def test_kill_command_kills_the_inner_process(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(
        adb, start_phone(faults=["kill_command={pattern: sleep 555, after_s: 0.3, times: 1}"])
    )
    assert phone.text("sleep 555; echo code $?").endswith("code 137")
    assert phone.text("sleep 0.5; echo sleep 555 not killed twice").endswith("twice")


def test_kill_command_alone_exits_137(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(faults=["kill_command={pattern: sleep 556, after_s: 0.3}"]))
    assert phone.shell("exec sleep 556").returncode == 137


def test_drop_command_cuts_the_link_while_it_runs(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(
        adb, start_phone(faults=["drop_command={pattern: sleep 557, after_s: 0.2, times: 1}"])
    )
    assert phone.shell("sleep 557; echo survived").stdout == b""
    wait_until(lambda: adb.states()[phone.phone.serial] == "device", "adb connects again")
    assert phone.text("echo back") == "back"


def test_reboot_command_kills_all_and_changes_the_boot_id(
    adb: PrivateAdb, start_phone: StartPhone
) -> None:
    phone = connect(adb, start_phone(faults=["reboot_command={pattern: sleep 558, times: 1}"]))
    before = phone.text("cat /proc/sys/kernel/random/boot_id")
    phone.text(f"echo kept > {TMP}/kept; setsid sleep 559 </dev/null >/dev/null 2>&1 &")
    phone.shell("exec sleep 558")
    wait_until(lambda: phone.shell("true").returncode == 0, "the phone is back", 20.0)
    assert phone.text("cat /proc/sys/kernel/random/boot_id") != before
    assert phone.text(f"cat {TMP}/kept") == "kept"
    assert phone.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'sleep [5]59'").stdout == b""


def test_no_exit_code_is_seen_as_a_lost_command(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(faults=["no_exit_code=quit"]))
    assert phone.shell("echo quit").returncode != 0
    assert phone.shell("echo stay").returncode == 0
