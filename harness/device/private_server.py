"""An adb server of our own: own port, own key, gone when we are."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness.device.adb_program import adb_program
from harness.device.deadline import Deadline
from harness.device.server import DEFAULT_HOST, AdbServer, probe_server
from harness.errors import AdbError

START_S = 15.0
STOP_S = 3.0
PORT_ATTEMPTS = 3
# The server is a child of this shell, beside a watcher that waits for the end of the
# shell's standard input: a pipe that we hold and the kernel closes when we die, however
# we die. (Linux' PDEATHSIG would follow the thread that started the server, not the
# process.) The shell itself ends when the server does.
WATCH_SCRIPT = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _; kill "$server"; } <&3 &
watcher=$!
exec 3<&-
wait "$server"
kill "$watcher" 2>/dev/null
"""


@dataclass(frozen=True)
class PrivateServer:
    """A running adb server that only this process knows.

    `public_key_path` is the key a device must accept to obey this server. The port is
    open to every local user all the same: adb servers ask nobody.
    """

    server: AdbServer
    home_dir: Path
    public_key_path: Path
    log_path: Path
    _process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; the second call does nothing."""
        _stop(self._process)


def start_private_server(home_dir: Path) -> PrivateServer:
    """Start an adb server on a free loopback port, with `home_dir` as its HOME.

    It looks for devices neither on USB nor by mDNS: `connect_tcp` brings them. Its key
    is made in `home_dir/.android` unless one is there. Ends with `stop()`, at the end of
    a `with`, or with this process. Raises AdbError when it does not come up.
    """
    program = adb_program(prefer_bundled=True)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ADB_", "ANDROID_"))}
    environ |= {"HOME": str(home_dir), "ADB_LIBUSB": "0", "ADB_MDNS": "0"}
    public_key_path = _make_key(program, home_dir, environ)
    log_path = home_dir / "adb-server.log"
    with log_path.open("ab") as log:
        for _ in range(PORT_ATTEMPTS):
            port = _free_port()
            process = _spawn(program, port, environ, log)
            server = _wait_until_it_answers(process, port)
            if server is not None:
                return PrivateServer(server, home_dir, public_key_path, log_path, process)
            _stop(process)
    raise AdbError(
        "starting a private adb server", f"{program} did not come up on {port}", log=log_path
    )


def _make_key(program: Path, home_dir: Path, environ: dict[str, str]) -> Path:
    key_path = home_dir / ".android" / "adbkey"
    public_key_path = key_path.with_name("adbkey.pub")
    if key_path.exists() and public_key_path.exists():
        return public_key_path
    key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        subprocess.run(
            [program, "keygen", key_path],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as err:
        said = getattr(err, "stderr", b"") or b""
        raise AdbError(
            f"making an adb key in {key_path.parent}", said.decode(errors="replace") or str(err)
        ) from err
    return public_key_path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((DEFAULT_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(
    program: Path, port: int, environ: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    command = [str(program), "-P", str(port), "nodaemon", "server"]
    return subprocess.Popen(
        ["sh", "-c", WATCH_SCRIPT, "sh", *command],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        # Ctrl-C in the terminal must leave us a server to clean up the phones with.
        start_new_session=True,
    )


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> AdbServer | None:
    deadline = Deadline(START_S)
    while not deadline.expired and process.poll() is None:
        with suppress(OSError, EOFError):
            return probe_server(DEFAULT_HOST, port, deadline.remaining() + 0.1)
        time.sleep(0.02)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    # A server that is stopped or wedged ignores the shell's polite signal.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
