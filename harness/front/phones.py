"""The devices of a session: those on the cable, or a virtual phone started for it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cache import cache_root, locked, make_cache_dir
from harness.device import (
    AdbServer,
    Device,
    connect_server,
    open_device,
    start_private_server,
)
from harness.errors import PhoneInUse
from harness.front.options import VIRTUAL, Options
from harness.socs import find_soc

if TYPE_CHECKING:
    from harness.virtual_phone import VirtualPhone

DEFAULT_VIRTUAL_SOC = "SM8750"
MOST_VIRTUAL_PHONES = 8


class Phones:
    """Devices by the serial they were asked for; opened on first use, kept to the end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stack = ExitStack()
        self._opened: dict[str | None, Device] = {}
        self._server: AdbServer | None = None

    def open(self, serial: str | None) -> Device:
        """The device of that serial; None: the only one there is.

        Raises:
            DeviceError: none, several, not usable, or another SoC than `--soc`.
        """
        if serial not in self._opened:
            self._opened[serial] = (
                self._start_virtual() if serial == VIRTUAL else self._connect(serial)
            )
        return self._opened[serial]

    def close(self) -> None:
        """End what was started; the phones themselves are left as they are."""
        self._opened.clear()
        self._stack.close()

    def _connect(self, serial: str | None) -> Device:
        if self._server is None:
            self._server = connect_server(self._options.adb_host, self._options.adb_port)
        return open_device(self._server, serial, self._options.soc)

    def _start_virtual(self) -> Device:
        """A virtual phone on an adb server of its own, whose key alone it obeys."""
        options = self._options
        home_dir = make_cache_dir(cache_root() / "adb")
        with locked(home_dir / "key.lock", "making a key for adb"):
            private = self._stack.enter_context(start_private_server(home_dir))
        phone = self._stack.enter_context(self._free_phone(private.public_key_path))
        private.server.connect_tcp(phone.serial)
        return open_device(private.server, phone.serial, options.soc)

    def _free_phone(self, public_key_path: Path) -> VirtualPhone:
        """The same phone, and so the same disk, each time, or the next if it is in use.

        A worker of pytest-xdist has a phone of its own, and so has a second session.
        """
        from harness.virtual_phone import start_virtual_phone  # sessions with a phone need none

        options = self._options
        soc = None if options.soc is None else find_soc(options.soc).id
        first = os.environ.get("PYTEST_XDIST_WORKER", "default")
        for count in range(1, MOST_VIRTUAL_PHONES + 1):
            try:
                return start_virtual_phone(
                    None if options.phone_profile else soc or DEFAULT_VIRTUAL_SOC,
                    first if count == 1 else f"{first}-{count}",
                    profile_path=options.phone_profile,
                    fresh=options.fresh_phone,
                    authorized_key=public_key_path,
                )
            except PhoneInUse as err:
                in_use = err
        raise in_use
