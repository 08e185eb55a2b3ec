"""The packets of the adb transport, as a device speaks them over TCP.

A packet is a 24-byte header `<6I` (command, arg0, arg1, payload length, checksum,
command ^ 0xffffffff) and its payload. From version 0x01000001 on nobody checks the
checksum, so it is sent as 0.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum

VERSION = 0x01000001
MAX_PAYLOAD_BYTES = 1 << 20
HEADER = struct.Struct("<6I")


class Command(IntEnum):
    """The packet types this phone knows; the value is the name's four ASCII bytes."""

    CNXN = 0x4E584E43
    AUTH = 0x48545541
    OPEN = 0x4E45504F
    OKAY = 0x59414B4F
    WRTE = 0x45545257
    CLSE = 0x45534C43


class WireError(ConnectionError):
    """The other side sent what is no adb packet; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet; what arg0 and arg1 mean depends on the command."""

    command: int
    arg0: int
    arg1: int
    payload: bytes = b""

    def header(self) -> bytes:
        """The 24 bytes that precede the payload on the wire."""
        magic = self.command ^ 0xFFFFFFFF
        return HEADER.pack(self.command, self.arg0, self.arg1, len(self.payload), 0, magic)


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """The next packet.

    Raises:
        WireError: the header is not one of adb's, or announces more than 1 MiB.
        asyncio.IncompleteReadError, ConnectionError: the other side went away.
    """
    command, arg0, arg1, length, _checksum, magic = HEADER.unpack(
        await reader.readexactly(HEADER.size)
    )
    if magic != command ^ 0xFFFFFFFF:
        raise WireError(f"bad packet magic {magic:#010x} for command {command:#010x}")
    if length > MAX_PAYLOAD_BYTES:
        raise WireError(f"packet of {length} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")
    payload = await reader.readexactly(length) if length else b""
    return Packet(command, arg0, arg1, payload)
