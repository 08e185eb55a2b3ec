"""Bringing a phone back: from the gentlest means to the rudest."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from harness.bench.phones import Phone
from harness.device import AdbServer, Deadline, connect_server
from harness.device.device import run_command
from harness.device.server import USABLE
from harness.device.wire import AdbFail
from harness.errors import AdbError, DeviceError, DeviceLost, DeviceNotUsable

ANSWER_S = 5.0
BACK_S = 6.0  # an adb server connects a lost link again by itself within some seconds
BOOT_S = 240.0
FIRST_PAUSE_S = 0.5
POLL_S = 0.1


def recover(phone: Phone, *, allow_reboot: bool) -> tuple[str, ...]:
    """Make a phone answer: wait, reconnect, and at last reboot, with growing pauses.

    Returns what was done. Raises the last DeviceError when nothing helped; AdbError at once
    when its adb server is gone and is none that we may start.
    """
    server = connect_server(phone.host, phone.port)
    steps: list[str] = []
    ladder: list[tuple[str, Callable[[], None], float]] = [
        ("look", lambda: None, 0.0),
        ("reconnect", lambda: _reconnect(server, phone), BACK_S),
        ("adb reconnect", lambda: _kick(server, phone), BACK_S),
    ]
    if allow_reboot:
        ladder.append(("reboot", lambda: _reboot(server, phone), BOOT_S))
    pause_s = 0.0
    error: DeviceError = DeviceLost(f"recovering {phone}", "it was not tried")
    for name, step, patience_s in ladder:
        time.sleep(pause_s)
        pause_s = pause_s * 2 or FIRST_PAUSE_S
        steps.append(name)
        try:
            step()
            await_phone(server, phone, patience_s)
            return tuple(steps)
        except DeviceError as err:
            error = err
            if is_hopeless(err):
                break
    error.problem += f" (tried: {', '.join(steps)})"
    raise error


def await_phone(server: AdbServer, phone: Phone, patience_s: float) -> None:
    """Wait until it is usable and has booted; raises the last DeviceError if it is not."""
    deadline = Deadline(patience_s)
    while True:
        try:
            _look(server, phone)
            return
        except DeviceError as err:
            if deadline.expired or is_hopeless(err):
                raise
        time.sleep(POLL_S)


def is_hopeless(error: DeviceError) -> bool:
    """Whether no reconnecting will help: a person has to do something."""
    return isinstance(error, AdbError) or (
        isinstance(error, DeviceNotUsable) and "unauthorized" in f"{error.problem} {error.hint}"
    )


def _look(server: AdbServer, phone: Phone) -> None:
    state = {entry.serial: entry.state for entry in server.list_devices()}.get(phone.serial)
    doing = f"recovering {phone}"
    if state is None:
        raise DeviceLost(doing, "the adb server does not list it").on(phone.serial)
    if state == "unauthorized":
        raise DeviceNotUsable(doing, "it is unauthorized", hint="accept this computer's key").on(
            phone.serial
        )
    if state != USABLE:
        raise DeviceLost(doing, f"it is {state}").on(phone.serial)
    booted = run_command(
        server, phone.serial, "getprop sys.boot_completed", Deadline(ANSWER_S)
    ).stdout.strip()
    if booted == "0":
        raise DeviceLost(doing, "it has not booted yet").on(phone.serial)


def _reconnect(server: AdbServer, phone: Phone) -> None:
    """A TCP device: disconnect and connect. On a cable: let the server drop the transport."""
    if phone.is_tcp:
        server.disconnect(phone.serial)
        _connect(server, phone)
    else:
        _kick(server, phone)


def _connect(server: AdbServer, phone: Phone) -> None:
    try:
        server.connect_tcp(phone.serial, ANSWER_S)
    except AdbError as err:
        server.list_devices()  # raises if it is the server that does not answer
        raise DeviceLost(f"connecting to {phone}", "it takes no connection").on(
            phone.serial
        ) from err


def _kick(server: AdbServer, phone: Phone) -> None:
    for service in (f"host-serial:{phone.serial}:reconnect", "host:reconnect-offline"):
        with suppress(AdbFail, EOFError, OSError):
            server.ask(service, Deadline(ANSWER_S))
    if phone.is_tcp:
        _connect(server, phone)


def _reboot(server: AdbServer, phone: Phone) -> None:
    try:
        with server.open(Deadline(ANSWER_S)) as connection:
            connection.open_transport(phone.serial)
            connection.request("reboot:")
    except (AdbFail, EOFError, OSError) as err:
        raise DeviceLost(f"rebooting {phone}", f"it does not listen ({err})").on(
            phone.serial
        ) from err
    time.sleep(1.0)  # it is still there for a moment
