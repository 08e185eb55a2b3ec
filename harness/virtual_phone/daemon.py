"""The process of a virtual phone: listens, serves, and cleans up when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.cache import cache_root
from harness.errors import InputError
from harness.virtual_phone.authentication import load_public_key
from harness.virtual_phone.connection import Connection
from harness.virtual_phone.disk import open_disk
from harness.virtual_phone.phone import Phone
from harness.virtual_phone.processes import watch_process
from harness.virtual_phone.profile import PhoneProfile

log = logging.getLogger(__name__)

# Nobody but this host ever reaches the phone.
HOST = "127.0.0.1"
# Packets are up to 1 MiB; a smaller buffer would stop and start the transport in each.
_READ_BUFFER_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class DaemonOptions:
    """How one daemon is run."""

    profile: PhoneProfile
    name: str = "default"
    port: int = 0  # 0: any free one
    fresh: bool = False
    authorized_key: Path | None = None
    parent_pid: int | None = None  # end when this process does


def phones_dir() -> Path:
    """Where the disks of all virtual phones are."""
    return cache_root() / "phones"


def check_name(name: str) -> None:
    """Raise InputError unless a phone may be called so: the name becomes a folder's."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "starting a virtual phone",
            f"--name {name!r}",
            expected="letters, digits, dot, dash and underscore, at most 64",
        )


def run_daemon(options: DaemonOptions, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end.

    Args:
        options: which phone.
        on_ready: called with "127.0.0.1:PORT" when it listens.

    Raises:
        InputError: the disk is in use, the port is taken, the key cannot be read.
    """
    key = None if options.authorized_key is None else load_public_key(options.authorized_key)
    listener = _listen(options.port)
    label = f"{options.profile.soc}-{options.name}"
    disk = open_disk(phones_dir(), label, fresh=options.fresh)
    disk.announce(listener.getsockname()[1])
    phone = Phone(options.profile, disk, options.name, key)
    try:
        asyncio.run(_serve(phone, listener, options, on_ready))
    finally:
        phone.shut_down()


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's delay (40 ms a round trip) off only for sockets that name TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as err:
        listener.close()
        raise InputError(
            "starting a virtual phone",
            f"cannot listen on {HOST}:{port} ({err})",
            hint="--port 0 takes any free port",
        ) from err
    return listener


async def _serve(
    phone: Phone,
    listener: socket.socket,
    options: DaemonOptions,
    on_ready: Callable[[str], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    if options.parent_pid is not None:
        _end_with(options.parent_pid, stop)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if phone.rebooting:
            writer.transport.abort()
            return
        writer.transport.set_write_buffer_limits(high=_READ_BUFFER_BYTES)
        await Connection(phone, reader, writer).run()

    server = await asyncio.start_server(accept, sock=listener, limit=_READ_BUFFER_BYTES)
    address = f"{HOST}:{listener.getsockname()[1]}"
    log.info("listening on %s", address)
    on_ready(address)
    await stop.wait()
    log.info("stopping")
    server.close()
    phone.drop_links()


def _end_with(parent_pid: int, stop: asyncio.Event) -> None:
    try:
        watch_process(parent_pid, stop.set)
    except ProcessLookupError:
        stop.set()
    # The parent may have died, and its number gone to another, before we looked.
    if os.getppid() != parent_pid:
        stop.set()
