"""Small files of one push, packed: to a phone each file of its own costs more than its bytes."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence

from harness.device.store import SEAL_S, LocalFile
from harness.device.sync import unreadable
from harness.errors import BundleCorrupt

# The device unpacks and hashes a pack while the next one is on its way; each takes it the start
# of two processes.
PACK_BYTES = 1024 * 1024
PACK_FILES = 400
# Files of this size and more go by themselves, and are hashed by the device as they arrive.
FOLLOW_BYTES = 4 * 1024 * 1024


def sendings(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """`files` in order, those below FOLLOW_BYTES in groups of about PACK_BYTES."""
    group: list[LocalFile] = []
    size_bytes = 0
    for file in files:
        large = file.size_bytes >= FOLLOW_BYTES
        if group and (large or size_bytes >= PACK_BYTES or len(group) == PACK_FILES):
            yield group
            group, size_bytes = [], 0
        if large:
            yield [file]
        else:
            group.append(file)
            size_bytes += file.size_bytes
    if group:
        yield group


def packed(files: Sequence[LocalFile]) -> Iterator[bytes]:
    """A tar of `files`, named by their sha256, in pieces.

    Raises BundleCorrupt: one is not as announced.
    """
    for file in files:
        data = read_whole(file)
        entry = tarfile.TarInfo(file.sha256)
        entry.size, entry.mode, entry.mtime = len(data), 0o755, SEAL_S
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def read_whole(file: LocalFile) -> bytes:
    try:
        data = file.path.read_bytes()
    except OSError as err:
        raise unreadable(file.path, err) from err
    check_size(file, len(data))
    return data


def check_size(file: LocalFile, size_bytes: int) -> None:
    """BundleCorrupt if a file has not the size that its LocalFile says."""
    if size_bytes != file.size_bytes:
        raise BundleCorrupt(
            f"sending {file.path}", f"it has {size_bytes} bytes", expected=f"{file.size_bytes}"
        )
