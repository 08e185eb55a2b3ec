"""The devices of a session: those on the cable, or a virtual phone started for it."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from harness.device import (
    AdbServer,
    Device,
    connect_server,
    open_device,
    start_private_server,
)
from harness.front.options import VIRTUAL, Options

DEFAULT_VIRTUAL_SOC = "SM8750"


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
        from harness.virtual_phone import start_virtual_phone  # sessions with a phone need none

        options = self._options
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vlm-harness-adb-"))
        private = self._stack.enter_context(start_private_server(Path(home)))
        soc = options.soc
        if soc is None and options.phone_profile is None:
            soc = DEFAULT_VIRTUAL_SOC
        phone = self._stack.enter_context(
            start_virtual_phone(
                soc if options.phone_profile is None else None,
                # A worker of pytest-xdist has a phone, and so a disk, of its own.
                os.environ.get("PYTEST_XDIST_WORKER", "default"),
                profile_path=options.phone_profile,
                fresh=options.fresh_phone,
                authorized_key=private.public_key_path,
            )
        )
        private.server.connect_tcp(phone.serial)
        return open_device(private.server, phone.serial, options.soc)
