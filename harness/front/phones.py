"""The phones of a session: one on the cable, a bench of them, or a virtual one of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.bench.ledger import Ledger
from harness.bench.phones import Phone, Wish
from harness.bench.pool import Pool, PoolOptions
from harness.cache import cache_root, locked, make_cache_dir
from harness.device import (
    Device,
    PrivateServer,
    connect_server,
    open_device,
    start_private_server,
)
from harness.device.server import USABLE
from harness.errors import DeviceLost, DeviceNotUsable, PhoneInUse
from harness.front.options import VIRTUAL, Options, Place, wanted_places
from harness.socs import find_soc

if TYPE_CHECKING:
    from harness.virtual_phone import VirtualPhone

DEFAULT_VIRTUAL_SOC = "SM8750"
MOST_VIRTUAL_PHONES = 8


class Phones:
    """Pools of phones by the place they were asked for; opened on first use."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._stack = ExitStack()
        self._pools: dict[str | None, Pool] = {}

    def pool(self, place: Place) -> Pool:
        """The phones that a place may mean.

        Raises:
            DeviceError: no adb server, no device at all, or several and none was named.
        """
        if place.serial not in self._pools:
            bench = self._options.bench
            pool_options = PoolOptions(bench.wait_s, bench.lease_s, bench.allow_reboot)
            self._pools[place.serial] = Pool(self._find(place.serial), self._ledger, pool_options)
        return self._pools[place.serial]

    def wish(self, place: Place) -> Wish:
        """What a phone must be to serve a place."""
        options = self._options
        named = place.soc or options.soc
        return Wish(
            soc=None if named is None else find_soc(named).id,
            serials=frozenset(options.serials) if options.bench.is_pool else frozenset(),
            labels=options.bench.labels if options.bench.phones is not None else frozenset(),
            limits=options.bench.limits,
        )

    def look(self, place: Place) -> Device:
        """A device like those that will be used, to know what to compile; not leased.

        Raises:
            DeviceError: none, several, not usable, or another SoC than `--soc`.
        """
        pool, wish = self.pool(place), self.wish(place)
        try:
            return pool.look(wish)
        except (DeviceLost, DeviceNotUsable):
            with pool.lease(wish) as leased:  # which tries to bring one back
                return leased.device

    def close(self) -> None:
        """End what was started; the phones themselves are left as they are."""
        self._pools.clear()
        self._stack.close()

    def _find(self, serial: str | None) -> tuple[Phone, ...]:
        options = self._options
        if options.bench.phones is not None:
            return options.bench.phones
        if serial == VIRTUAL:
            return (self._start_virtual(),)
        if serial is not None and options.bench.private_adb:
            private = self._start_server()
            private.server.connect_tcp(serial)
            return (Phone(serial, private.server.host, private.server.port),)
        server = connect_server(options.adb_host, options.adb_port)
        if options.bench.everything:
            entries = [entry for entry in server.list_devices() if entry.state == USABLE]
            return tuple(Phone(entry.serial, server.host, server.port) for entry in entries)
        if serial is None:
            serial = open_device(server, None, options.soc).serial
        return (Phone(serial, server.host, server.port),)

    def _start_virtual(self) -> Phone:
        """A virtual phone on an adb server of its own, whose key alone it obeys."""
        private = self._start_server()
        phone = self._stack.enter_context(self._free_phone(private.public_key_path))
        private.server.connect_tcp(phone.serial)
        return Phone(phone.serial, private.server.host, private.server.port)

    def _start_server(self) -> PrivateServer:
        """An adb server of this session's own."""
        home_dir = make_cache_dir(cache_root() / "adb")
        with locked(home_dir / "key.lock", "making a key for adb"):
            return self._stack.enter_context(start_private_server(home_dir))

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


def count_fit_phones(options: Options) -> int | None:
    """How many phones of the bench could be given work now, at least 1; None without a bench."""
    if options.bench.place is not None:
        return 1
    if not options.bench.is_pool:
        return None
    with TemporaryDirectory() as folder:
        phones = Phones(options, Ledger(Path(folder)))
        places = wanted_places(options)
        return max(1, sum(phones.pool(place).count_fit(phones.wish(place)) for place in places))
