"""One TCP connection of an adb server: handshake, then streams to services."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from harness.virtual_phone.authentication import AUTH_SIGNATURE, AUTH_TOKEN, new_token
from harness.virtual_phone.phone import Phone
from harness.virtual_phone.shell import ShellRequest, serve_shell
from harness.virtual_phone.stream import Stream
from harness.virtual_phone.sync import serve_sync
from harness.virtual_phone.wire import (
    MAX_PAYLOAD_BYTES,
    VERSION,
    Command,
    Packet,
    read_packet,
)

log = logging.getLogger(__name__)


class Connection:
    """Serves one adb server until either side hangs up."""

    def __init__(
        self, phone: Phone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.max_payload_bytes = 4096  # until the host has said more
        self._phone = phone
        self._reader = reader
        self._writer = writer
        self._streams: dict[int, Stream] = {}
        self._services: set[asyncio.Task[None]] = set()
        self._next_id = 1
        self._mute = False

    async def run(self) -> None:
        """Serve to the end; errors of the link end it quietly."""
        self._phone.links.add(self)
        try:
            await self._shake_hands()
            while True:
                await self._dispatch(await read_packet(self._reader))
        except (ConnectionError, asyncio.IncompleteReadError) as err:
            log.info("link ended: %s", err)
        finally:
            self._phone.links.discard(self)
            self.drop()
            for stream in self._streams.values():
                stream.on_close()
            await asyncio.gather(*self._services, return_exceptions=True)

    def drop(self) -> None:
        """Cut the connection at once, without a word."""
        transport = self._writer.transport
        if not transport.is_closing():
            transport.abort()

    def mute(self) -> None:
        """Keep the connection and answer nothing on it any more."""
        log.info("fault: wedged")
        self._mute = True

    async def send(self, packet: Packet) -> None:
        """Write one packet; nothing once the phone has gone mute."""
        if self._mute:
            return
        if self._writer.transport.is_closing():
            raise ConnectionResetError("the link is gone")
        self._writer.write(packet.header())
        if packet.payload:
            self._writer.write(packet.payload)
        await self._writer.drain()

    async def _shake_hands(self) -> None:
        hello = await read_packet(self._reader)
        if hello.command != Command.CNXN:
            raise ConnectionError("the host did not begin with CNXN")
        self.max_payload_bytes = min(hello.arg1, MAX_PAYLOAD_BYTES)
        if self._phone.gone_offline:
            log.info("fault: no answer to a new link")
            self._mute = True
            return
        if self._phone.authorized_key is not None or self._phone.faults.unauthorized:
            await self._authenticate()
        await self.send(Packet(Command.CNXN, VERSION, MAX_PAYLOAD_BYTES, self._phone.banner))
        if self._phone.faults.offline == 0:
            self._phone.run_task(self._go_offline_soon())

    async def _go_offline_soon(self) -> None:
        # `adb connect` must have seen the phone online, or it lists no phone at all.
        await asyncio.sleep(0.2)
        self._phone.go_offline()

    async def _authenticate(self) -> None:
        """Ask for signatures until one is right; a host out of keys waits forever."""
        key = None if self._phone.faults.unauthorized else self._phone.authorized_key
        token = new_token()
        await self.send(Packet(Command.AUTH, AUTH_TOKEN, 0, token))
        while True:
            answer = await read_packet(self._reader)
            if answer.command != Command.AUTH or answer.arg0 != AUTH_SIGNATURE:
                continue
            if key is not None and key.signed(token, answer.payload):
                return
            token = new_token()
            await self.send(Packet(Command.AUTH, AUTH_TOKEN, 0, token))

    async def _dispatch(self, packet: Packet) -> None:
        if packet.command == Command.OPEN:
            await self._open(packet.arg0, packet.payload)
            return
        stream = self._streams.get(packet.arg1)
        if stream is None:
            return
        if packet.command == Command.WRTE:
            stream.on_write(packet.payload)
        elif packet.command == Command.OKAY:
            stream.on_okay()
        elif packet.command == Command.CLSE:
            del self._streams[packet.arg1]
            stream.on_close()

    async def _open(self, remote_id: int, payload: bytes) -> None:
        destination = payload.rstrip(b"\0").decode(errors="surrogateescape")
        log.info("open %s", ascii(_shortened(destination)))
        self._count_service()
        if self._mute or self._writer.transport.is_closing():
            return
        stream = Stream(self, self._next_id, remote_id, self._phone.faults.slow_ack)
        service = self._find_service(destination, stream)
        if service is None:
            log.info("refused")
            await self.send(Packet(Command.CLSE, 0, remote_id))
            return
        self._next_id += 1
        self._streams[stream.local_id] = stream
        # The answer precedes the service: its first words must not overtake it.
        await self.send(Packet(Command.OKAY, stream.local_id, remote_id))
        task = asyncio.create_task(self._serve(stream, service))
        self._services.add(task)
        task.add_done_callback(self._services.discard)

    def _count_service(self) -> None:
        """Count a request and let those faults happen that wait for a number of them."""
        phone = self._phone
        phone.progress.services += 1
        if phone.faults.wedge is not None and phone.progress.services > phone.faults.wedge:
            self.mute()
        if phone.faults.offline is not None and phone.progress.services > phone.faults.offline:
            phone.go_offline()

    def _find_service(self, destination: str, stream: Stream) -> Coroutine[Any, Any, None] | None:
        """The service of that name, not started yet; None if this phone has none."""
        name = destination.partition(":")[0].partition(",")[0]
        if name in ("shell", "exec"):
            return serve_shell(self._phone, self, stream, ShellRequest.parse(destination))
        if name == "sync":
            return serve_sync(self._phone, self, stream)
        if name == "reboot":
            return self._phone.reboot()
        return None

    async def _serve(self, stream: Stream, service: Coroutine[Any, Any, None]) -> None:
        try:
            await service
        except ConnectionError as err:
            log.info("stream ended: %s", err)
        except Exception:
            log.exception("a service failed")
        with contextlib.suppress(ConnectionError):
            await stream.close()


def _shortened(text: str) -> str:
    """Beginning and end: a script comes first, what it is to do last."""
    return text if len(text) <= 2000 else f"{text[:1700]} ... {text[-300:]}"
