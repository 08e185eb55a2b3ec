"""The phone of `--lease labgrid:PLACE`: acquired for a session, and given back after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.errors import DeviceError, HarnessError, InputError
from harness.front.options import Options

PLACE_KEY = "vlm_device_harness_place"
_Phone = tuple[str, str | None, int | None]  # serial, and its adb server's host and port
_PHONE = pytest.StashKey[_Phone]()


def lease_place(config: pytest.Config, options: Options, tell: Callable[[str], None]) -> Options:
    """Acquire the place of the options; those that name its phone. Unchanged without one.

    It is released when pytest ends: after the last worker, and also after Ctrl-C or an error.
    Ends the session if it cannot be had.
    """
    if options.bench.place is None:
        return options
    from harness.bench.labgrid import HeldPlace, acquire_place  # most sessions need none

    try:
        held = acquire_place(options.bench.place)
    except InputError as err:
        raise pytest.UsageError(str(err)) from err
    except HarnessError as err:
        pytest.exit(str(err), returncode=err.exit_status)

    def release(place: HeldPlace = held) -> None:
        try:
            place.release()
        except DeviceError as err:
            tell(str(err))

    config.add_cleanup(release)
    tell(f"labgrid: {held.holder} has {held.name}, which is {held.serial}")
    config.stash[_PHONE] = (held.serial, held.adb_host, held.adb_port)
    return with_phone(options, config.stash[_PHONE])


def phone_for_workers(config: pytest.Config) -> _Phone | None:
    """What `with_phone` wants to know, in a form that pytest-xdist can send."""
    return config.stash.get(_PHONE, None)


def with_phone(options: Options, phone: _Phone | None) -> Options:
    """Options that name the phone of a place; unchanged without one."""
    if phone is None:
        return options
    serial, host, port = phone
    return replace(options, serials=(serial,), adb_host=host, adb_port=port)
