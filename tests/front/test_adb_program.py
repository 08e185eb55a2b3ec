"""What is said of an adb program that is confined, or of another version; a server of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.device import PrivateServer, open_device, start_private_server
from harness.errors import DeviceNotFound
from harness.virtual_phone import start_virtual_phone

from .sessions import Bench
from .workplace import Workplace


@pytest.mark.parametrize("cage", ["snap", "flatpak"])
def test_doctor_recognises_a_confined_adb(bench: Bench, tmp_path: Path, cage: str) -> None:
    program = tmp_path / cage / "bin/adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    said = bench.command("doctor", *bench.adb_args, environ={"ADBUTILS_ADB_PATH": str(program)})
    assert f"is confined by {cage}" in said.stdout
    assert "fix: use adb of another source" in said.stdout


def test_doctor_tells_of_an_adb_that_would_end_the_server(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho Android Debug Bridge version 1.0.32\n")
    program.chmod(0o755)
    said = bench.command("doctor", *bench.adb_args, environ={"ADBUTILS_ADB_PATH": str(program)})
    assert f"{program} is 1.0.32, the server 1.0.41" in said.stdout
    usual = bench.command("doctor", *bench.adb_args)
    assert "adb versions" not in usual.stdout


def test_no_device_at_all_with_a_confined_adb_says_so(
    tmp_path: Path, own_server: PrivateServer
) -> None:
    program = tmp_path / "snap/bin/adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADBUTILS_ADB_PATH", str(program))
        with pytest.raises(DeviceNotFound, match="is confined by snap and may not see USB"):
            open_device(own_server.server)


def test_private_adb_is_a_server_that_ends_with_the_session(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    cache_dir = tmp_path / "cache"
    with start_private_server(cache_dir / "adb") as private:
        key = private.public_key_path  # the session's server has the same HOME
    environ = {CACHE_VARIABLE: str(cache_dir)}
    with start_virtual_phone("SM8750", "private", authorized_key=key) as phone:
        args = [*simulated_work.args, "--private-adb", "--serial", phone.serial]
        done = bench.run([*args, "-m", "accuracy"], environ=environ)
    assert done.exit_status == 0, done.output
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if names(path, cache_dir)]
    assert left == []


def names(environ_path: Path, folder: Path) -> bool:
    try:
        return f"HOME={folder}".encode() in environ_path.read_bytes()
    except OSError:
        return False


def test_private_adb_with_a_key_the_phone_does_not_know_says_what_to_do(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    args = [*simulated_work.args, "--private-adb", "--serial", bench.simulated.serial]
    done = bench.run(args, environ={CACHE_VARIABLE: str(tmp_path / "cache")})
    assert done.exit_status == 70
    assert "accept this computer's key" in done.only_error()


@pytest.mark.parametrize(
    "args", [[], ["--serial", "R5CT1234"], ["--serial", "10.0.0.7:5555", "--adb-port", "5038"]]
)
def test_private_adb_without_a_phone_on_tcp_is_refused(
    bench: Bench, simulated_work: Workplace, args: list[str]
) -> None:
    done = bench.run([*simulated_work.args, "--private-adb", *args])
    assert done.exit_status == 4
    assert "--private-adb" in done.output
