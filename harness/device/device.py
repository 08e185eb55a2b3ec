"""A device that speaks adb: choosing it, knowing it, running commands on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from harness import socs
from harness.device.adb_program import adb_program, confinement
from harness.device.deadline import Deadline
from harness.device.losses import telling_losses, unusable_hint
from harness.device.server import USABLE, AdbServer, DeviceEntry
from harness.device.shell import CommandResult, ShellStream, command_line, finish_command
from harness.device.wire import Connection
from harness.errors import (
    AdbError,
    AmbiguousDevice,
    DeviceMismatch,
    DeviceNotFound,
    DeviceNotUsable,
    InputError,
)

FACTS_S = 15.0
LIST_DEVICES = "python -m harness devices"
FACT_PROPERTIES = (
    "ro.soc.model",
    "ro.product.cpu.abi",
    "ro.vlm_device_harness.simulated",
    "ro.product.model",
    "ro.build.fingerprint",
)
# One call for all: a call costs 20 to 80 ms over a cable.
FACTS_SCRIPT = 'for name in "$@"; do printf "%s\\n" "$(getprop "$name")"; done'


@dataclass(frozen=True)
class DeviceFacts:
    """What a device says of itself. A property it does not have is empty."""

    serial: str
    soc_model: str  # ro.soc.model
    soc_id: str | None  # of specs/socs.yaml; None if that table does not know the model
    abi: str  # "arm64-v8a", "x86_64"
    simulated: bool  # a virtual phone that owns to it
    model_name: str
    build_fingerprint: str


@dataclass(frozen=True)
class Device:
    """A device that answered when it was opened.

    `token` names who leased it: what runs and pushes leave on it for a while begins with it.
    """

    server: AdbServer
    facts: DeviceFacts
    token: str | None = None

    @property
    def serial(self) -> str:
        return self.facts.serial

    def shell(
        self,
        argv: Sequence[str],
        deadline: Deadline,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run `argv` on the device; every argument arrives as it is.

        A non-zero exit code is a result, not an error (`CommandResult.check` makes it
        one). Raises DeviceLost, DeviceNotUsable, DeadlineExceeded, and ValueError for
        arguments no process can be given.
        """
        return run_command(self.server, self.serial, command_line(argv, cwd, env), deadline)

    @contextmanager
    def transport(self, doing: str, deadline: Deadline) -> Iterator[Connection]:
        """A connection to the device; what breaks it is told as an error of this device."""
        with (
            telling_losses(self.server, self.serial, doing, deadline),
            self.server.open(deadline) as connection,
        ):
            connection.open_transport(self.serial)
            yield connection


def run_command(server: AdbServer, serial: str, command: str, deadline: Deadline) -> CommandResult:
    """Run a sh command line on a device; errors as of `Device.shell`."""
    doing = f"running a command on {serial}"
    with telling_losses(server, serial, doing, deadline), server.open(deadline) as connection:
        connection.open_transport(serial)
        stream = ShellStream(connection, command)
        stream.close_stdin()
        return finish_command(stream)


def open_device(server: AdbServer, serial: str | None = None, soc: str | None = None) -> Device:
    """The device `serial`, or the only one; checked to be usable and to be a `soc`.

    Raises DeviceNotFound, DeviceNotUsable, AmbiguousDevice, DeviceMismatch (its
    ro.soc.model is not one of `soc`), InputError (`soc` is unknown), AdbError.
    """
    wanted = None if soc is None else socs.find_soc(soc)
    entry = _choose(server, server.list_devices(), serial)
    if entry.state != USABLE:
        raise DeviceNotUsable(
            f"opening device {entry.serial}",
            f"it is {entry.state}",
            expected=f"state {USABLE!r} in `{LIST_DEVICES}`",
            hint=unusable_hint(entry.state),
        ).on(entry.serial)
    facts = read_facts(server, entry.serial)
    if wanted is not None and facts.soc_model not in wanted.soc_models:
        says = f"says {facts.soc_model!r}" if facts.soc_model else "does not say"
        raise DeviceMismatch(
            f"opening device {entry.serial}",
            f"--soc {wanted.id} was asked for, but its ro.soc.model {says}",
            expected=" or ".join(wanted.soc_models),
            hint=f"--soc {facts.soc_id}, or the --serial of a device with {wanted.id}"
            if facts.soc_id
            else f"the --serial of a device with {wanted.id}",
        ).on(entry.serial)
    return Device(server, facts)


def read_facts(server: AdbServer, serial: str) -> DeviceFacts:
    """Ask a usable device what it is. Errors as of `Device.shell`, and CommandFailed."""
    command = command_line(["sh", "-c", FACTS_SCRIPT, "sh", *FACT_PROPERTIES])
    result = run_command(server, serial, command, Deadline(FACTS_S))
    lines = result.check("reading properties", serial).stdout.splitlines()
    lines += [""] * (len(FACT_PROPERTIES) - len(lines))
    soc_model, abi, simulated, model_name, fingerprint = (line.strip() for line in lines[:5])
    return DeviceFacts(
        serial=serial,
        soc_model=soc_model,
        soc_id=_known_soc_id(soc_model),
        abi=abi,
        simulated=simulated == "1",
        model_name=model_name,
        build_fingerprint=fingerprint,
    )


def _known_soc_id(soc_model: str) -> str | None:
    try:
        return socs.find_soc(soc_model).id
    except InputError:
        return None


def _confined() -> str:
    """What to know first if this machine's adb may be kept from USB."""
    with suppress(AdbError):
        program = adb_program()
        cage = confinement(program)
        if cage is not None:
            return f"{program} is confined by {cage} and may not see USB: take another adb, or "
    return ""


def _choose(server: AdbServer, entries: Sequence[DeviceEntry], serial: str | None) -> DeviceEntry:
    doing = f"opening device {serial}" if serial else "choosing a device"
    there = ", ".join(f"{entry.serial} ({entry.state})" for entry in entries) or "none"
    if serial is not None:
        for entry in entries:
            if entry.serial == serial:
                return entry
        raise DeviceNotFound(
            doing,
            f"the adb server at {server.address} knows no device of that serial",
            expected=f"one of: {there}" if entries else "a connected device; there is none",
            hint=LIST_DEVICES,
        ).on(serial)
    if not entries:
        raise DeviceNotFound(
            doing,
            f"the adb server at {server.address} knows no device",
            expected="a phone with USB debugging on",
            hint=f"{_confined()}plug one in, or --serial virtual; see {LIST_DEVICES}",
        )
    if len(entries) > 1:
        raise AmbiguousDevice(
            doing,
            f"{len(entries)} devices and no --serial",
            expected=f"one of: {there}",
            hint=f"--serial {entries[0].serial}",
        )
    return entries[0]
