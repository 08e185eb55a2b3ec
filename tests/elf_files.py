"""Made-up ELF files: as much of one as the harness reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

X86_64, ARM64, HEXAGON = 62, 183, 164
_HEADER_SIZE, _SEGMENT_SIZE = 64, 56


def make_elf(machine: int, soname: str | None = None, needed: Sequence[str] = ()) -> bytes:
    """A 64-bit shared library of one loaded segment, with its dynamic section and names."""
    names = b"\0"
    entries: list[tuple[int, int]] = []
    for tag, name in [(1, name) for name in needed] + [(14, soname)] * (soname is not None):
        entries.append((tag, len(names)))
        names += str(name).encode() + b"\0"
    dynamic_at = _HEADER_SIZE + 2 * _SEGMENT_SIZE
    names_at = dynamic_at + 16 * (len(entries) + 2)
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (5, names_at), (0, 0)])
    size = names_at + len(names)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, _HEADER_SIZE, 0, 0, 64, _SEGMENT_SIZE, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    table = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return header + load + table + dynamic + names


def make_hexagon_elf() -> bytes:
    """The begin of a 32-bit Hexagon library, as a skel is one."""
    return b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, HEXAGON) + bytes(32)


def write_qnn_libraries(folder: Path, htp_arch: int) -> None:
    """Host, stub and skel libraries of a phone, flat as in a Runtime folder."""
    for name in ("libQnnHtp.so", "libQnnSystem.so", f"libQnnHtpV{htp_arch}Stub.so"):
        (folder / name).write_bytes(make_elf(ARM64, name, ["libc.so", "libcdsprpc.so"]))
    (folder / f"libQnnHtpV{htp_arch}Skel.so").write_bytes(make_hexagon_elf())
