"""The life of a virtual phone's process: start, disk, end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.virtual_phone import start_virtual_phone
from harness.virtual_phone.processes import find_processes

from .conftest import (
    ConnectedPhone,
    PrivateAdb,
    StartPhone,
    connect,
    start_private_server,
    stop_private_server,
    wait_until,
)

TMP = "/data/local/tmp"
RUNS = f"{TMP}/vlm-device-harness/runs"
BACKGROUND = "setsid sleep 4321 </dev/null >/dev/null 2>&1 & echo up"


def _home(phone_cache: Path, name: str, soc: str = "SM8750") -> Path:
    return (phone_cache / "phones" / f"{soc}-{name}").resolve()


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _listening_addresses(port: int) -> set[str]:
    """The local addresses, in the kernel's hex, on which anything listens at this port."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            _number, local, _remote, state = line.split()[:4]
            address, _, local_port = local.partition(":")
            if state == "0A" and int(local_port, 16) == port:
                found.add(address)
    return found


def test_phone_listens_on_loopback_only(shared_phone: ConnectedPhone) -> None:
    assert _listening_addresses(shared_phone.phone.port) == {"0100007F"}


def test_phones_run_at_once_each_on_its_own_disk(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phones = [connect(adb, start_phone(name=f"several-{n}", soc="SM8850")) for n in range(3)]
    for number, phone in enumerate(phones):
        phone.text(f"echo {number} > {TMP}/mine")
    assert [phone.text(f"cat {TMP}/mine") for phone in phones] == ["0", "1", "2"]


def test_disk_stays_runs_do_not(adb: PrivateAdb, start_phone: StartPhone) -> None:
    first = start_phone(name="stays")
    connect(adb, first).text(f"mkdir -p {RUNS}/1; echo kept | tee {TMP}/kept > {RUNS}/1/f")
    first.stop()
    second = connect(adb, start_phone(name="stays"))
    assert second.text(f"cat {TMP}/kept") == "kept"
    assert second.shell(f"ls {RUNS}").returncode != 0


def test_fresh_wipes_the_disk(adb: PrivateAdb, start_phone: StartPhone) -> None:
    first = start_phone(name="wiped")
    connect(adb, first).text(f"echo old > {TMP}/old")
    first.stop()
    second = connect(adb, start_phone(name="wiped", fresh=True))
    assert second.text(f"ls {TMP}") == ""


def test_disk_in_use_is_refused_with_the_holder(start_phone: StartPhone) -> None:
    holder = start_phone(name="held")
    with pytest.raises(InputError, match=f"in use by process {holder.process.pid}") as caught:
        start_phone(name="held")
    assert caught.value.hint is not None
    assert "--name" in caught.value.hint


def test_awkward_cache_folder_works(
    adb: PrivateAdb, start_phone: StartPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(tmp_path / "it's a $HOME; dir"))
    phone = connect(adb, start_phone(name="awkward"))
    assert phone.text(f"echo in > {TMP}/f; cat {TMP}/f; readlink -f {TMP}/f") == f"in\n{TMP}/f"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_no_process_port_or_run(
    adb: PrivateAdb, start_phone: StartPhone, phone_cache: Path, end: signal.Signals
) -> None:
    name = f"ends-{end.name}"
    phone = start_phone(name=name)
    connect(adb, phone).text(f"mkdir -p {RUNS}/1; {BACKGROUND}")
    home = _home(phone_cache, name)
    assert find_processes(str(home))
    phone.process.send_signal(end)
    assert phone.process.wait(10) == 0
    assert find_processes(str(home)) == set()
    assert _refuses(phone.port)
    assert not (home / "root" / RUNS[1:]).exists()


def test_start_after_kill_sweeps_what_was_left(
    adb: PrivateAdb, start_phone: StartPhone, phone_cache: Path
) -> None:
    phone = start_phone(name="killed")
    connect(adb, phone).text(f"mkdir -p {RUNS}/1; echo kept > {TMP}/kept; {BACKGROUND}")
    phone.process.kill()
    phone.process.wait()
    home = _home(phone_cache, "killed")
    assert find_processes(str(home))
    assert (home / "root" / RUNS[1:] / "1").exists()
    again = connect(adb, start_phone(name="killed"))
    assert find_processes(str(home)) == set()
    assert again.shell(f"ls {RUNS}").returncode != 0
    assert again.text(f"cat {TMP}/kept") == "kept"


def test_parent_killed_ends_the_phone(phone_cache: Path) -> None:
    script = (
        "import os, signal\n"
        "from harness.virtual_phone import start_virtual_phone\n"
        "print(start_virtual_phone('SM8750', 'orphan').port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=os.environ, capture_output=True, timeout=30
    )
    port = int(parent.stdout)
    wait_until(lambda: _refuses(port), "the phone ends with its parent")


def test_start_with_bad_options_says_why() -> None:
    with pytest.raises(InputError, match="no profile for SoC 'SM1'"):
        start_virtual_phone("SM1")


@pytest.mark.parametrize("name", ["../up", "a/b", "", "a b"])
def test_start_with_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        start_virtual_phone("SM8750", name)


def test_authorized_key_admits_its_server(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone(authorized_key=adb.public_key))
    assert phone.text("echo in") == "in"


def test_authorized_key_keeps_other_servers_out(
    adb: PrivateAdb, start_phone: StartPhone, tmp_path: Path
) -> None:
    phone = start_phone(authorized_key=adb.public_key)
    other, server = start_private_server(tmp_path / "other")
    try:
        assert b"failed to authenticate" in other.run("connect", phone.serial).stdout
        assert other.states() == {phone.serial: "unauthorized"}
    finally:
        stop_private_server(server)


def test_authorized_key_that_is_none_is_refused(start_phone: StartPhone, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("not a key")
    with pytest.raises(InputError, match="not an adb public key"):
        start_phone(authorized_key=tmp_path / "key.pub")


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.0\r\n\r\n" + bytes(24), b"\xff" * 4096, b"CN"])
def test_noise_on_the_port_harms_nobody(shared_phone: ConnectedPhone, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shared_phone.phone.port)) as stranger:
        stranger.sendall(noise)
    assert shared_phone.text("echo fine") == "fine"


def test_unknown_service_is_refused(shared_phone: ConnectedPhone) -> None:
    assert shared_phone.run("reverse", "tcp:1", "tcp:2").returncode != 0
    assert shared_phone.text("echo fine") == "fine"


def test_reboot_gives_a_new_boot(adb: PrivateAdb, start_phone: StartPhone) -> None:
    phone = connect(adb, start_phone())
    before = phone.text("cat /proc/sys/kernel/random/boot_id")
    phone.run("reboot")
    wait_until(lambda: phone.shell("true").returncode == 0, "the phone is back", 20.0)
    assert phone.text("cat /proc/sys/kernel/random/boot_id") != before
