"""The adb server's socket protocol: requests, replies and the transport to a device.

This module speaks it directly instead of through `adbutils.AdbConnection`, because the
latter starts a server on this machine when the one asked for (on any host) is silent,
connects with a fixed time-out, sends with `send()` and knows time-outs per read only.
adbutils brings the adb program (`harness.device.adb_program`); importing it would cost
0.3 s of a rerun.

Errors leave here as the plain exceptions they are (`AdbFail`, `TimeoutError`,
`EOFError`, `OSError`); `harness.device.losses` tells them as errors of a device.
"""

from __future__ import annotations

import select
import socket
from types import TracebackType
from typing import Self

from harness.device.deadline import Deadline

READ_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 0xFFFF  # its length is sent as four hex digits
KEEPALIVE_S = 10


class AdbFail(Exception):
    """The adb server or the device answered FAIL; `reason` is its text."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Connection:
    """A connection to an adb server, and after `open_transport` to a device.

    Every call obeys `deadline`. With `stall_s`, no single call may take longer than
    that either: a transfer that moves is not cut off, one that stands still is.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._received = bytearray()
        self.deadline = deadline
        self.stall_s: float | None = None

    @classmethod
    def open(cls, host: str, port: int, deadline: Deadline) -> Self:
        """Connect to the adb server at `host`:`port`. Never starts one."""
        timeout_s = max(deadline.remaining(), 0.001)
        sock = socket.create_connection((host, port), timeout=timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A server on another host may vanish without a word.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), KEEPALIVE_S)
        return cls(sock, deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def _arm(self) -> None:
        """Give the socket the time that is left."""
        left_s = self.deadline.remaining()
        if left_s == 0.0:
            raise TimeoutError("deadline")
        self._sock.settimeout(left_s if self.stall_s is None else min(left_s, self.stall_s))

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self._arm()
        self._sock.sendall(data)
        self._acknowledge_at_once()

    def _acknowledge_at_once(self) -> None:
        # The adb server leaves Nagle's algorithm on: the second of two short answers waits until
        # this kernel has acknowledged the first one, which it puts off by 40 ms. The option holds
        # until the kernel thinks better of it, so it is set again and again.
        if hasattr(socket, "TCP_QUICKACK"):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def has_input(self, wait_s: float = 0.0) -> bool:
        """Whether the other side has said, or says within `wait_s`, what was not read yet."""
        return bool(self._received) or bool(select.select([self._sock], [], [], wait_s)[0])

    def read_exact(self, size: int) -> bytes:
        """`size` bytes; EOFError when the other side hangs up before."""
        while len(self._received) < size:
            self._arm()
            self._acknowledge_at_once()
            chunk = self._sock.recv(max(READ_BYTES, size - len(self._received)))
            if not chunk:
                raise EOFError(f"connection closed, {size - len(self._received)} bytes missing")
            self._received += chunk
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def request(self, service: str) -> None:
        """Ask the server for `service` and read its OKAY; AdbFail on FAIL."""
        encoded = service.encode("utf-8", "surrogateescape")
        if len(encoded) > MAX_REQUEST_BYTES:
            raise ValueError(f"request of {len(encoded)} bytes; adb takes {MAX_REQUEST_BYTES}")
        self.send(b"%04x" % len(encoded) + encoded)
        self.read_okay()

    def read_okay(self) -> None:
        status = self.read_exact(4)
        if status == b"FAIL":
            raise AdbFail(self.read_block())
        if status != b"OKAY":
            raise AdbFail(f"protocol fault: {status!r} instead of OKAY or FAIL")

    def read_block(self) -> str:
        """A string that follows its length in four hex digits."""
        length = self.read_exact(4)
        try:
            size = int(length, 16)
        except ValueError as err:
            raise AdbFail(f"protocol fault: {length!r} instead of a length") from err
        return self.read_exact(size).decode("utf-8", "replace")

    def open_transport(self, serial: str) -> None:
        """From here on `request` asks the device, not the server."""
        self.request(f"host:transport:{serial}")
