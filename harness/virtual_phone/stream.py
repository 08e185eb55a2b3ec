"""One adb stream: a service's two-way byte channel inside a connection.

adb's flow control is stop-and-wait: each WRTE is answered by one OKAY before the next
may be sent, in either direction. `read` answers when the chunk is taken, so a service
that does not read holds its host back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from harness.virtual_phone.wire import Command, Packet


class StreamClosed(ConnectionError):
    """The host closed the stream, or the connection is gone."""


class PacketSink(Protocol):
    """Where a stream sends its packets: the connection."""

    max_payload_bytes: int

    async def send(self, packet: Packet) -> None:
        """Write one packet to the host."""


class Stream:
    """A stream seen by the service that answers it."""

    def __init__(
        self, sink: PacketSink, local_id: int, remote_id: int, ack_delay_s: float = 0.0
    ) -> None:
        self._ack_delay_s = ack_delay_s
        self.local_id = local_id
        self.remote_id = remote_id
        self._closed = asyncio.Event()
        self._sink = sink
        self._incoming: deque[tuple[bytes, float]] = deque()
        self.arrived_s = 0.0  # when the chunk came that was read last, by the monotonic clock
        self._wakeup = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._write_lock = asyncio.Lock()

    @property
    def closed(self) -> bool:
        """Whether either side has closed it."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until either side closes it; what has arrived by then can still be read."""
        await self._closed.wait()

    async def read(self) -> bytes:
        """The next chunk from the host, as it was sent; b"" when the stream is closed."""
        while not self._incoming:
            if self.closed:
                return b""
            self._wakeup.clear()
            await self._wakeup.wait()
        chunk, self.arrived_s = self._incoming.popleft()
        if self._ack_delay_s:
            await asyncio.sleep(self._ack_delay_s)
        if not self.closed:
            await self._sink.send(Packet(Command.OKAY, self.local_id, self.remote_id))
        return chunk

    async def write(self, data: bytes) -> None:
        """Send `data`, of any length, and wait until the host has taken all of it.

        Raises:
            StreamClosed: the host does not listen any more.
        """
        async with self._write_lock:
            step = self._sink.max_payload_bytes
            for begin in range(0, len(data), step):
                if self.closed:
                    raise StreamClosed("stream closed by the host")
                self._acknowledged.clear()
                piece = data[begin : begin + step]
                await self._sink.send(Packet(Command.WRTE, self.local_id, self.remote_id, piece))
                await self._acknowledged.wait()

    async def close(self) -> None:
        """Tell the host that the service has ended; harmless when it is closed already."""
        if not self.closed:
            self._closed.set()
            await self._sink.send(Packet(Command.CLSE, self.local_id, self.remote_id))

    def on_write(self, payload: bytes) -> None:
        """The host sent a chunk."""
        self._incoming.append((payload, time.monotonic()))
        self._wakeup.set()

    def on_okay(self) -> None:
        """The host took our last chunk."""
        self._acknowledged.set()

    def on_close(self) -> None:
        """The host closed the stream, or the connection dropped."""
        self._closed.set()
        self._wakeup.set()
        self._acknowledged.set()


class ByteReader:
    """Reads a stream as bytes, whatever chunks the host cut it into."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._chunk = memoryview(b"")

    async def pieces(self, count: int) -> AsyncIterator[memoryview]:
        """`count` bytes as they come, without joining them (files are large).

        Raises:
            StreamClosed: the stream ended before.
        """
        while count:
            if not self._chunk:
                self._chunk = memoryview(await self._stream.read())
                if not self._chunk:
                    raise StreamClosed(f"stream ended {count} bytes early")
            piece, self._chunk = self._chunk[:count], self._chunk[count:]
            count -= len(piece)
            yield piece

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes in one piece.

        Raises:
            StreamClosed: the stream ended before.
        """
        if len(self._chunk) >= count:  # a frame's head, nearly always: spare the generator
            piece, self._chunk = self._chunk[:count], self._chunk[count:]
            return bytes(piece)
        return b"".join([bytes(piece) async for piece in self.pieces(count)])
