"""The adb server: finding it, and what it knows about devices."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from harness.device.adb_program import adb_program
from harness.device.deadline import Deadline
from harness.device.wire import AdbFail, Connection
from harness.errors import AdbError, DeviceNotFound, DeviceNotUsable

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5037
# Of 2017 (Debian's oldest supported release ships 1.0.41); nothing older was tried.
OLDEST_SERVER_VERSION = 39
ANSWER_S = 5.0
CONNECT_S = 15.0
START_S = 20.0
USABLE = "device"


@dataclass(frozen=True)
class DeviceEntry:
    """A line of `adb devices`."""

    serial: str
    state: str  # "device" when usable; "offline", "unauthorized", ...


@dataclass(frozen=True)
class AdbServer:
    """An adb server that answered when it was last asked."""

    host: str
    port: int
    version: int  # of its protocol: 41 is "1.0.41"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def open(self, deadline: Deadline) -> Connection:
        """A new connection; the plain exceptions of `harness.device.wire`."""
        return Connection.open(self.host, self.port, deadline)

    def ask(self, service: str, deadline: Deadline | None = None) -> str:
        """The server's answer to a `host:` service. AdbFail and OSError come through."""
        with self.open(deadline or Deadline(ANSWER_S)) as connection:
            connection.request(service)
            return connection.read_block()

    def list_devices(self, deadline: Deadline | None = None) -> list[DeviceEntry]:
        """Every device the server knows, usable or not. Raises AdbError."""
        try:
            lines = self.ask("host:devices", deadline).splitlines()
        except (AdbFail, EOFError, OSError) as err:
            raise _silent(self, "listing devices", err) from err
        fields = (line.split("\t", 1) for line in lines if "\t" in line)
        return [DeviceEntry(serial, state.strip()) for serial, state in fields]

    def connect_tcp(self, serial: str, timeout_s: float = CONNECT_S) -> None:
        """Let the server connect to a device that listens on TCP ("HOST:PORT").

        Raises DeviceNotUsable when the device refuses the server's key, DeviceNotFound
        when nothing answers, AdbError when the server does not.
        """
        doing = f"connecting to {serial}"
        try:
            answer = self.ask(f"host:connect:{serial}", Deadline(timeout_s))
        except AdbFail as err:
            answer = err.reason
        except (EOFError, OSError) as err:
            raise _silent(self, doing, err) from err
        if answer.startswith(("connected to", "already connected to")):
            return
        if "authenticate" in answer:
            raise DeviceNotUsable(
                doing,
                f"the adb server says {answer!r}",
                hint="accept this computer's key on the device's screen, then connect again",
            ).on(serial)
        raise DeviceNotFound(
            doing,
            f"the adb server says {answer!r}",
            expected="HOST:PORT of a device whose adb daemon listens on TCP",
        ).on(serial)

    def disconnect(self, serial: str) -> None:
        """Forget a TCP device; no error if the server does not know it."""
        try:
            self.ask(f"host:disconnect:{serial}")
        except AdbFail:
            return
        except (EOFError, OSError) as err:
            raise _silent(self, f"disconnecting {serial}", err) from err


def connect_server(host: str | None = None, port: int | None = None) -> AdbServer:
    """The adb server at `host`:`port`, known to be alive.

    Without `host` and `port`: $ANDROID_ADB_SERVER_HOST and _PORT, else 127.0.0.1:5037.
    Only there, where adb itself would look, a server is started if none runs; never for
    an address somebody chose.

    Raises AdbError: nothing answers, something else than adb answers, or the server's
    version is too old.
    """
    environ = os.environ
    wanted_host = host or environ.get("ANDROID_ADB_SERVER_HOST") or DEFAULT_HOST
    wanted_port = port or _port_number(environ.get("ANDROID_ADB_SERVER_PORT"))
    try:
        return probe_server(wanted_host, wanted_port)
    except ConnectionRefusedError as err:
        if (wanted_host, wanted_port) != (DEFAULT_HOST, DEFAULT_PORT):
            raise AdbError(
                f"connecting to the adb server at {wanted_host}:{wanted_port}",
                "nothing listens there",
                hint=f"on that host: adb -P {wanted_port} start-server",
            ) from err
    except (OSError, EOFError) as err:
        raise AdbError(
            f"connecting to the adb server at {wanted_host}:{wanted_port}",
            f"{type(err).__name__}: {err}",
            hint="check --adb-host and --adb-port",
        ) from err
    _start_default_server()
    try:
        return probe_server(wanted_host, wanted_port)
    except (OSError, EOFError) as err:
        raise AdbError(
            f"connecting to the adb server at {wanted_host}:{wanted_port}",
            f"it was started but does not answer: {err}",
            hint="adb kill-server; adb start-server",
        ) from err


def probe_server(host: str, port: int, timeout_s: float = ANSWER_S) -> AdbServer:
    """Ask for the server's version.

    OSError and EOFError mean that nobody answered. AdbError: something else than an adb
    server did, or one that is too old.
    """
    doing = f"connecting to the adb server at {host}:{port}"
    try:
        answer = AdbServer(host, port, 0).ask("host:version", Deadline(timeout_s))
        version = int(answer, 16)
    except (AdbFail, ValueError) as err:
        raise AdbError(
            doing, f"what listens there is no adb server ({err})", hint="check --adb-port"
        ) from err
    if version < OLDEST_SERVER_VERSION:
        raise AdbError(
            doing,
            f"the server's version is 1.0.{version}",
            expected=f"1.0.{OLDEST_SERVER_VERSION} or later",
            hint="adb kill-server, then start the server of a current adb",
        )
    return AdbServer(host, port, version)


def _port_number(text: str | None) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise AdbError(
            "reading ANDROID_ADB_SERVER_PORT", f"{text!r} is no port", expected="1 to 65535"
        )
    return int(text)


def _start_default_server() -> None:
    program = adb_program()
    doing = "starting the adb server of this machine"
    # The address must be the one that was asked for, whatever the environment says.
    environ = {k: v for k, v in os.environ.items() if k != "ADB_SERVER_SOCKET"}
    command = [str(program), "-P", str(DEFAULT_PORT), "start-server"]
    try:
        subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as err:
        said = str(getattr(err, "stderr", "") or err).strip()
        raise AdbError(doing, said, hint=f"run it by hand: {program} start-server") from err


def _silent(server: AdbServer, doing: str, err: Exception) -> AdbError:
    what = err.reason if isinstance(err, AdbFail) else f"{type(err).__name__}: {err}"
    return AdbError(
        doing,
        f"the adb server at {server.address} gives no answer ({what})",
        hint="python -m harness doctor",
    )
