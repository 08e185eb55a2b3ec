"""Sending files by adb's sync protocol."""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from harness.device.wire import AdbFail, Connection
from harness.errors import BundleCorrupt

HEAD = struct.Struct("<4sI")  # id, length or value
FRAME_BYTES = 64 * 1024  # the protocol's upper limit for DATA
FRAMES_PER_WRITE = 16  # 1 MiB: what the adb server puts into one packet
BLOCK_BYTES = FRAMES_PER_WRITE * FRAME_BYTES
TICK_S = 0.01
STALL_S = 30.0  # a device that takes nothing for so long is gone
REGULAR_FILE = 0o100000


class SyncStream:
    """The sync service of a device, over a connection with a transport.

    Files follow one another without waiting for the device's word on each; `wait` waits for
    all of them. After a FAIL the device hangs up: the stream is of no more use.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unanswered: deque[Callable[[], None]] = deque()
        # One block: DATA frames, each behind its head, which files are read straight into.
        self._block = memoryview(bytearray(FRAMES_PER_WRITE * (HEAD.size + FRAME_BYTES)))
        starts = range(0, len(self._block), HEAD.size + FRAME_BYTES)
        self._frames = [self._block[start + HEAD.size :][:FRAME_BYTES] for start in starts]
        connection.stall_s = STALL_S
        connection.request("sync:")

    def send_file(
        self, local_path: Path, remote_path: str, mtime_s: int, on_bytes: Callable[[int], None]
    ) -> int:
        """Write a file on the device, mode 0755, modification time `mtime_s`.

        It is not known to be there before `wait`. `on_bytes` is called with the size of each
        piece as it is sent. Returns the file's size in bytes. Raises AdbFail with the device's
        reason, for this file or one before it, and BundleCorrupt when the local file cannot
        be read.
        """
        sent_bytes = 0
        try:
            local_fd = os.open(local_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise unreadable(local_path, err) from err
        try:
            self._write(_opening(remote_path))
            while (size := self._read_block(local_fd, sent_bytes, local_path)) > 0:
                self._write(self._framed(size))
                sent_bytes += size
                on_bytes(size)
                if size < BLOCK_BYTES:
                    break
        finally:
            os.close(local_fd)
        self._write(HEAD.pack(b"DONE", mtime_s))
        self._unanswered.append(_nothing)
        return sent_bytes

    def send_content(
        self,
        pieces: Iterable[bytes],
        remote_path: str,
        mtime_s: int,
        on_arrival: Callable[[], None],
    ) -> None:
        """Write what `pieces` make together on the device, as `send_file` does.

        `on_arrival` is called when the device has said that it is there: during a later call.
        """
        ready = bytearray(_opening(remote_path))
        waiting = bytearray()
        for piece in pieces:
            waiting += piece
            while len(waiting) >= FRAME_BYTES:
                self._write(ready + HEAD.pack(b"DATA", FRAME_BYTES) + waiting[:FRAME_BYTES])
                ready.clear()
                del waiting[:FRAME_BYTES]
        if waiting:
            ready += HEAD.pack(b"DATA", len(waiting)) + waiting
        self._write(ready + HEAD.pack(b"DONE", mtime_s))
        self._unanswered.append(on_arrival)

    def wait(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until the device has said of each file that it is there.

        Calls `meanwhile` each TICK_S, more rarely the longer it takes. Raises AdbFail as
        `send_file`.
        """
        began_s = answered_s = time.monotonic()
        while self._unanswered:
            now_s = time.monotonic()
            pause_s = max(TICK_S, (now_s - began_s) / 8)
            if meanwhile is not None and not self._connection.has_input(pause_s):
                if now_s - answered_s > STALL_S or self._connection.deadline.expired:
                    raise TimeoutError("no answer")
                meanwhile()
                continue
            self._read_reply()
            answered_s = time.monotonic()

    def close(self) -> None:
        """End the service."""
        self._connection.send(HEAD.pack(b"QUIT", 0))

    def _read_block(self, local_fd: int, offset: int, path: Path) -> int:
        """Read into the frames of the block; bytes read."""
        try:
            return os.preadv(local_fd, self._frames, offset)
        except OSError as err:
            raise unreadable(path, err) from err

    def _framed(self, size: int) -> memoryview:
        """The part of the block that holds `size` bytes of a file, with its heads."""
        used = 0
        for start in range(0, size, FRAME_BYTES):
            frame_bytes = min(FRAME_BYTES, size - start)
            HEAD.pack_into(self._block, used, b"DATA", frame_bytes)
            used += HEAD.size + frame_bytes
        return self._block[:used]

    def _write(self, data: bytes | bytearray | memoryview) -> None:
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
        if status != b"OKAY" or not self._unanswered:
            raise AdbFail(f"protocol fault: {status!r} instead of an answer")
        self._unanswered.popleft()()


def unreadable(path: Path, err: OSError) -> BundleCorrupt:
    """The error for a local file that cannot be sent."""
    return BundleCorrupt(f"sending {path}", f"it cannot be read ({err.strerror})")


def _opening(remote_path: str) -> bytes:
    encoded = f"{remote_path},{REGULAR_FILE | 0o755}".encode("utf-8", "surrogateescape")
    return HEAD.pack(b"SEND", len(encoded)) + encoded


def _nothing() -> None:
    """Nobody waits for this file alone."""
