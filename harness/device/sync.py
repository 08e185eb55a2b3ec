"""Sending files by adb's sync protocol."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.device.wire import AdbFail, Connection
from harness.errors import BundleCorrupt

HEAD = struct.Struct("<4sI")  # id, length or value
FRAME_BYTES = 64 * 1024  # the protocol's upper limit for DATA
FRAMES_PER_WRITE = 16  # 1 MiB: what the adb server puts into one packet
BLOCK_BYTES = FRAMES_PER_WRITE * FRAME_BYTES
GATHER_BYTES = 64 * 1024  # small files to a write; with more the device waits for us
STALL_S = 30.0  # a device that takes nothing for so long is gone
REGULAR_FILE = 0o100000


class SyncStream:
    """The sync service of a device, over a connection with a transport.

    Files follow one another without waiting for the device's word on each, small ones many
    to a packet; `finish` waits for all of them. After a FAIL the device hangs up: the stream
    is of no more use.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pending = bytearray()
        self._unanswered: deque[tuple[int, Callable[[int], None]]] = deque()
        # One block: DATA frames, each behind its head, which files are read straight into.
        self._block = memoryview(bytearray(FRAMES_PER_WRITE * (HEAD.size + FRAME_BYTES)))
        starts = range(0, len(self._block), HEAD.size + FRAME_BYTES)
        self._frames = [self._block[start + HEAD.size :][:FRAME_BYTES] for start in starts]
        connection.stall_s = STALL_S
        connection.request("sync:")

    def send_file(
        self,
        local_path: Path,
        remote_path: str,
        mtime_s: int,
        on_bytes: Callable[[int], None],
    ) -> int:
        """Write a file on the device, mode 0755, modification time `mtime_s`.

        It is not known to be there before `finish`. `on_bytes` is called with the size of
        each piece as it is sent, or of what went with other files once the device has it.
        Returns the file's size in bytes. Raises AdbFail with the device's reason, for this
        file or one before it, and BundleCorrupt when the local file cannot be read.
        """
        sent_bytes = gathered_bytes = 0
        try:
            local_fd = os.open(local_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise unreadable(local_path, err) from err
        try:
            self._pending += _head(b"SEND", f"{remote_path},{REGULAR_FILE | 0o755}")
            while (size := self._read_block(local_fd, sent_bytes, local_path)) > 0:
                sent_bytes += size
                if self._put_block(size):
                    on_bytes(size)
                else:
                    gathered_bytes += size
                if size < BLOCK_BYTES:
                    break
        finally:
            os.close(local_fd)
        self._pending += HEAD.pack(b"DONE", mtime_s)
        self._unanswered.append((gathered_bytes, on_bytes))
        return sent_bytes

    def finish(self) -> None:
        """Wait until the device has said of each file that it is there, and end the service."""
        self._flush()
        while self._unanswered:
            self._read_reply()
        self._connection.send(HEAD.pack(b"QUIT", 0))

    def _read_block(self, local_fd: int, offset: int, path: Path) -> int:
        """Read into the frames of the block; bytes read."""
        try:
            return os.preadv(local_fd, self._frames, offset)
        except OSError as err:
            raise unreadable(path, err) from err

    def _put_block(self, size: int) -> bool:
        """Send the `size` bytes of a file that lie in the block (True), or put them with others."""
        used = 0
        for start in range(0, size, FRAME_BYTES):
            frame_bytes = min(FRAME_BYTES, size - start)
            HEAD.pack_into(self._block, used, b"DATA", frame_bytes)
            used += HEAD.size + frame_bytes
        if size > FRAME_BYTES or len(self._pending) + used > GATHER_BYTES:
            self._flush()
        if size > FRAME_BYTES:
            self._write(self._block[:used])
            return True
        self._pending += self._block[:used]
        return False

    def _flush(self) -> None:
        if self._pending:
            self._write(self._pending)
            self._pending = bytearray()

    def _write(self, data: bytearray | memoryview) -> None:
        # A device that cannot go on says so in mid-file and reads no further. Its reason
        # would be lost if we wrote until the connection breaks.
        while self._connection.has_input():
            self._read_reply()
        try:
            self._connection.send(data)
        except ConnectionError:
            with suppress(EOFError):
                while True:
                    self._read_reply()
            raise

    def _read_reply(self) -> None:
        status, length = HEAD.unpack(self._connection.read_exact(HEAD.size))
        if status == b"FAIL":
            reason = self._connection.read_exact(length)
            raise AdbFail(reason.decode("utf-8", "replace"))
        if status != b"OKAY":
            raise AdbFail(f"protocol fault: {status!r} instead of OKAY or FAIL")
        arrived_bytes, on_bytes = self._unanswered.popleft()
        if arrived_bytes:
            on_bytes(arrived_bytes)


def unreadable(path: Path, err: OSError) -> BundleCorrupt:
    """The error for a local file that cannot be sent."""
    return BundleCorrupt(f"sending {path}", f"it cannot be read ({err.strerror})")


def _head(name: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return HEAD.pack(name, len(encoded)) + encoded
