"""A private adb server and virtual phones for the tests of this folder.

The server has its own port, HOME and key: the user's server and phones are never touched.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.virtual_phone import VirtualPhone, start_virtual_phone

START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class PrivateAdb:
    """The adb command line, bound to one private server."""

    program: str
    port: int
    home: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PATH": os.environ["PATH"],
            "ADB_LIBUSB": "0",
            "ADB_MDNS": "0",
        }

    @property
    def public_key(self) -> Path:
        return self.home / ".android/adbkey.pub"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """An adb command that runs on."""
        return subprocess.Popen(
            [self.program, "-P", str(self.port), *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self, *arguments: str, stdin: bytes = b"", timeout_s: float = 20.0
    ) -> subprocess.CompletedProcess[bytes]:
        """One adb command, to its end."""
        return subprocess.run(
            [self.program, "-P", str(self.port), *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
        )

    def states(self) -> dict[str, str]:
        """serial -> state of `adb devices`."""
        lines = self.run("devices").stdout.decode().splitlines()[1:]
        return dict(line.split("\t") for line in lines if line)


@dataclass(frozen=True)
class ConnectedPhone:
    """A virtual phone that the private server is connected to."""

    phone: VirtualPhone
    adb: PrivateAdb

    def run(
        self, *arguments: str, stdin: bytes = b"", timeout_s: float = 20.0
    ) -> subprocess.CompletedProcess[bytes]:
        return self.adb.run("-s", self.phone.serial, *arguments, stdin=stdin, timeout_s=timeout_s)

    def shell(self, command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.run("shell", command, stdin=stdin)

    def text(self, command: str) -> str:
        """What a command says on stdout, stripped; it must succeed."""
        result = self.shell(command)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode().strip()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Poll; fails the test with `what` if it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def start_private_server(home: Path) -> tuple[PrivateAdb, subprocess.Popen[bytes]]:
    """An adb server with a fresh key in `home`, listening when this returns."""
    import adbutils

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    adb = PrivateAdb(adbutils.adb_path(), port, home)
    adb.public_key.parent.mkdir(parents=True)
    subprocess.run(
        [adb.program, "keygen", str(adb.public_key.with_suffix(""))],
        env=adb.env,
        check=True,
        capture_output=True,
    )
    server = subprocess.Popen(
        [adb.program, "-P", str(port), "nodaemon", "server"],
        env=adb.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "adb server listens", START_TIMEOUT_S)
    return adb, server


def stop_private_server(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAdb]:
    """The command line of a private adb server."""
    found, server = start_private_server(tmp_path_factory.mktemp("adb-home"))
    yield found
    stop_private_server(server)


@pytest.fixture(scope="session")
def phone_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phone-cache")


@pytest.fixture(autouse=True)
def _use_phone_cache(phone_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(phone_cache))


def connect(adb: PrivateAdb, phone: VirtualPhone) -> ConnectedPhone:
    """Connect the server to a phone that accepts it."""
    said = adb.run("connect", phone.serial).stdout.decode()
    assert "connected to" in said, said
    return ConnectedPhone(phone, adb)


@pytest.fixture(scope="session")
def shared_phone(adb: PrivateAdb, phone_cache: Path) -> Iterator[ConnectedPhone]:
    """One healthy SM8750 for all tests that leave no trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLM_HARNESS_CACHE", str(phone_cache))
        patch.setenv("LD_LIBRARY_PATH", "/nonexistent-host-libraries")
        phone = start_virtual_phone("SM8750", "shared")
    with phone:
        yield connect(adb, phone)
        adb.run("disconnect", phone.serial)


StartPhone = Callable[..., VirtualPhone]


@pytest.fixture
def start_phone(request: pytest.FixtureRequest, adb: PrivateAdb) -> Iterator[StartPhone]:
    """Starts phones of the test's own; they end with it."""
    started: list[VirtualPhone] = []

    def start(
        name: str = request.node.name.replace("[", "-").replace("]", "")[:60],
        soc: str | None = "SM8750",
        faults: Sequence[str] = (),
        profile_path: Path | None = None,
        fresh: bool = False,
        authorized_key: Path | None = None,
    ) -> VirtualPhone:
        phone = start_virtual_phone(
            soc,
            name,
            profile_path=profile_path,
            fresh=fresh,
            faults=faults,
            authorized_key=authorized_key,
        )
        started.append(phone)
        return phone

    yield start
    for phone in started:
        phone.stop()
        adb.run("disconnect", phone.serial)
