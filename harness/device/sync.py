"""Sending files by adb's sync protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from harness.device.wire import AdbFail, Connection
from harness.errors import BundleCorrupt

HEAD = struct.Struct("<4sI")  # id, length or value
FRAME_BYTES = 64 * 1024  # the protocol's upper limit for DATA
FRAMES_PER_WRITE = 16  # 1 MiB: what the adb server puts into one packet
STALL_S = 30.0  # a device that takes nothing for so long is gone
REGULAR_FILE = 0o100000


class SyncStream:
    """The sync service of a device, over a connection with a transport.

    After a FAIL the device hangs up: the stream is of no more use.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
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

        `on_bytes` is called with the size of each piece that was sent. Returns the
        file's size in bytes. Raises AdbFail with the device's reason, and BundleCorrupt
        when the local file cannot be read.
        """
        sent_bytes = 0
        try:
            local_file = local_path.open("rb", buffering=0)
        except OSError as err:
            raise unreadable(local_path, err) from err
        with local_file:
            self._write(_head(b"SEND", f"{remote_path},{REGULAR_FILE | 0o755}"))
            buffer = bytearray(FRAMES_PER_WRITE * (HEAD.size + FRAME_BYTES))
            while True:
                filled, file_bytes = _fill(buffer, local_file, local_path)
                if filled == 0:
                    break
                self._write(memoryview(buffer)[:filled])
                sent_bytes += file_bytes
                on_bytes(file_bytes)
        self._write(HEAD.pack(b"DONE", mtime_s))
        self._read_reply()
        return sent_bytes

    def quit(self) -> None:
        self._connection.send(HEAD.pack(b"QUIT", 0))

    def _write(self, data: bytes | memoryview) -> None:
        # A device that cannot go on says so in mid-file and reads no further. Its reason
        # would be lost if we wrote until the connection breaks.
        if self._connection.has_input():
            self._read_reply()
        try:
            self._connection.send(data)
        except ConnectionError:
            self._read_reply()
            raise

    def _read_reply(self) -> None:
        status, length = HEAD.unpack(self._connection.read_exact(HEAD.size))
        if status == b"OKAY":
            return
        if status == b"FAIL":
            reason = self._connection.read_exact(length)
            raise AdbFail(reason.decode("utf-8", "replace"))
        raise AdbFail(f"protocol fault: {status!r} instead of OKAY or FAIL")


def unreadable(path: Path, err: OSError) -> BundleCorrupt:
    """The error for a local file that cannot be sent."""
    return BundleCorrupt(f"sending {path}", f"it cannot be read ({err.strerror})")


def _head(name: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return HEAD.pack(name, len(encoded)) + encoded


def _fill(buffer: bytearray, file: BinaryIO, path: Path) -> tuple[int, int]:
    """Fill `buffer` with DATA frames: (bytes of the buffer used, bytes of the file in them)."""
    view = memoryview(buffer)
    filled = file_bytes = 0
    while filled < len(buffer):
        start = filled + HEAD.size
        try:
            size = file.readinto(view[start : start + FRAME_BYTES])  # type: ignore[attr-defined]
        except OSError as err:
            raise unreadable(path, err) from err
        if not size:
            break
        HEAD.pack_into(buffer, filled, b"DATA", size)
        filled = start + size
        file_bytes += size
    return filled, file_bytes
