"""Every way to lose a device, told as one of three errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.device.deadline import Deadline
from harness.device.server import USABLE, AdbServer
from harness.device.wire import AdbFail
from harness.errors import AdbError, DeviceError, DeviceLost, DeviceNotUsable

LOOK_S = 2.0

HINTS = {
    "unauthorized": "unlock the device and accept this computer's key; "
    "if no question appears: adb kill-server, then plug the cable in again",
    "authorizing": "unlock the device and accept this computer's key",
    "offline": "plug the cable in again, or for a TCP device: adb disconnect and adb connect",
    "connecting": "wait a moment and try again",
    "recovery": "reboot the device into Android",
    "sideload": "reboot the device into Android",
    "bootloader": "reboot the device into Android: fastboot reboot",
    "no permissions": "install udev rules for this device and join the group plugdev",
}


def unusable_hint(state: str) -> str:
    """What to do about a device in `state`."""
    for name, hint in HINTS.items():
        if state.startswith(name):
            return hint
    return "reboot the device, or plug the cable in again"


@contextmanager
def telling_losses(
    server: AdbServer, serial: str, doing: str, deadline: Deadline
) -> Iterator[None]:
    """Turn what the wire raises into DeviceLost, DeviceNotUsable or DeadlineExceeded.

    Every error carries `serial`. One extra look at the server tells whether the device,
    or the server itself, went away.
    """
    try:
        yield
    except AdbFail as err:
        raise refused(server, serial, doing, err) from err
    except TimeoutError as err:
        if deadline.expired:
            raise deadline.exceeded(doing, serial) from err
        raise DeviceLost(
            doing, f"{serial} took no data for a while; {whereabouts(server, serial)}"
        ).on(serial) from err
    except (EOFError, OSError) as err:
        what = str(err) or type(err).__name__
        raise DeviceLost(
            doing,
            f"the link to {serial} broke ({what}); {whereabouts(server, serial)}",
            hint="check the cable and the adb server: python -m harness devices",
        ).on(serial) from err


def refused(server: AdbServer, serial: str, doing: str, err: AdbFail) -> DeviceError:
    """The error for a FAIL of the adb server or the device."""
    if "unauthorized" in err.reason or "authorizing" in err.reason:
        return DeviceNotUsable(
            doing,
            f"{serial} does not trust this adb server ({err.reason.splitlines()[0]})",
            hint=unusable_hint("unauthorized"),
        ).on(serial)
    return DeviceLost(
        doing,
        f"adb says {err.reason!r}; {whereabouts(server, serial)}",
        hint="check the cable and the adb server: python -m harness devices",
    ).on(serial)


def whereabouts(server: AdbServer, serial: str) -> str:
    """What the server says of `serial` now, as a clause of a sentence."""
    try:
        devices = server.list_devices(Deadline(LOOK_S))
    except AdbError:
        return f"the adb server at {server.address} no longer answers"
    for entry in devices:
        if entry.serial == serial:
            now = "connected again" if entry.state == USABLE else f"{entry.state!r}"
            return f"the adb server now lists it as {now}"
    return "the adb server no longer lists it"
