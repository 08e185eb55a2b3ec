"""The little of ELF that says for what machine a file is and which other libraries it loads.

Layout after the System V ABI, "Object Files" and "Dynamic Linking". The libraries' part reads
64-bit little-endian files only, which is what x86-64 and arm64 are; Hexagon's are 32-bit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

ELF_MAGIC = b"\x7fELF"
_MAGIC = b"\x7fELF\x02\x01"  # 64 bit, little-endian
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC_ENTRY = struct.Struct("<qQ")
_PT_LOAD = 1
_PT_DYNAMIC = 2
_DT_NULL = 0
_DT_NEEDED = 1
_DT_STRTAB = 5
_DT_SONAME = 14


@dataclass(frozen=True)
class ElfFacts:
    """What the loader reads first. `machine` is 62 for x86-64 and 183 for arm64."""

    machine: int
    soname: str | None
    needed: tuple[str, ...]


def read_machine(path: Path) -> int | None:
    """The machine number of an ELF file of any class; None if it is no ELF file."""
    with path.open("rb") as file:
        start = file.read(20)
    if not start.startswith(ELF_MAGIC) or len(start) < 20:
        return None
    return int.from_bytes(start[18:20], "little")


def read_elf(path: Path) -> ElfFacts:
    """The facts of a program or library. ValueError if it is no 64-bit little-endian ELF."""
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
    try:
        return _parse(data)
    except (struct.error, IndexError) as err:
        raise ValueError(f"{path} is a damaged ELF file") from err


def _parse(data: bytes) -> ElfFacts:
    header = _HEADER.unpack_from(data)
    machine, segment_offset, segment_size, segment_count = (
        header[1],
        header[4],
        header[8],
        header[9],
    )
    segments = [
        _SEGMENT.unpack_from(data, segment_offset + index * segment_size)
        for index in range(segment_count)
    ]
    entries = _dynamic_entries(data, segments)
    string_table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if string_table is None:
        return ElfFacts(machine, None, ())
    start = _file_offset(segments, string_table)

    def string_at(offset: int) -> str:
        end = data.index(b"\0", start + offset)
        return data[start + offset : end].decode("utf-8", "replace")

    sonames = [string_at(value) for tag, value in entries if tag == _DT_SONAME]
    needed = tuple(string_at(value) for tag, value in entries if tag == _DT_NEEDED)
    return ElfFacts(machine, sonames[0] if sonames else None, needed)


def _dynamic_entries(data: bytes, segments: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    entries: list[tuple[int, int]] = []
    for segment in segments:
        kind, offset, size = segment[0], segment[2], segment[5]
        if kind != _PT_DYNAMIC:
            continue
        for position in range(offset, offset + size, _DYNAMIC_ENTRY.size):
            tag, value = _DYNAMIC_ENTRY.unpack_from(data, position)
            if tag == _DT_NULL:
                break
            entries.append((tag, value))
    return entries


def _file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    """Where in the file the byte lies that is loaded at `address`."""
    for segment in segments:
        kind, offset, virtual, size = segment[0], segment[2], segment[3], segment[5]
        if kind == _PT_LOAD and virtual <= address < virtual + size:
            return offset + address - virtual
    raise IndexError(address)
