"""adb's file service, `sync:`: stat, list, push and pull.

A request is four letters, `<I` length and a path; then, for a push, DATA chunks and DONE
with the modification time. Paths are the phone's; none of them leaves its disk.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from harness.virtual_phone.phone import Link, Phone
from harness.virtual_phone.stream import ByteReader, Stream

MAX_DATA_BYTES = 64 * 1024
_MAX_PATH_BYTES = 1024
_PULL_FRAMES = 8  # DATA frames per packet: each packet costs a round trip
_HEAD = struct.Struct("<4sI")
_STAT_V1 = struct.Struct("<4sIII")
_STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")
_DENT_V1 = struct.Struct("<4sIIII")
_DENT_V2 = struct.Struct("<4sIQQIIIIQqqqI")
_U32 = 0xFFFFFFFF
_SHORTEST_SLEEP_S = 0.005  # shorter ones take longer than they should


async def serve_sync(phone: Phone, link: Link, stream: Stream) -> None:
    """Answer requests until the host quits."""
    await _SyncSession(phone, link, stream).run()


@dataclass
class _Upload:
    """A push on its way: what has failed, if anything, and how much may still come."""

    path: Path
    file_fd: int | None
    room_bytes: int
    error: str | None = None
    written_bytes: int = 0

    def fail(self, error: str) -> None:
        """Give up; the half file goes, the rest of the data is read and forgotten."""
        self.error = error
        if self.file_fd is not None:
            os.close(self.file_fd)
            self.file_fd = None
            self.path.unlink(missing_ok=True)


class _SyncSession:
    def __init__(self, phone: Phone, link: Link, stream: Stream) -> None:
        self._phone = phone
        self._link = link
        self._stream = stream
        self._reader = ByteReader(stream)
        self._link_free_s = 0.0  # when a slow link has brought what was sent so far
        self._room_bytes: int | None = None  # looked up once: it takes a walk over the disk

    async def run(self) -> None:
        while True:
            name, length = _HEAD.unpack(await self._reader.exactly(_HEAD.size))
            if name == b"QUIT":
                return
            if length > _MAX_PATH_BYTES:
                await self._fail("path too long")
                return
            argument = os.fsdecode(await self._reader.exactly(length))
            if not await self._answer(name, argument):
                return

    async def _answer(self, name: bytes, argument: str) -> bool:
        """Answer one request; False if it is none that we know."""
        match name:
            case b"STAT":
                await self._stream.write(_stat_v1(self._stat(argument, follow=False)))
            case b"STA2" | b"LST2":
                await self._stream.write(self._stat_v2(name, argument))
            case b"LIST" | b"LIS2":
                await self._list(argument, detailed=name == b"LIS2")
            case b"SEND":
                await self._receive(argument)
            case b"RECV":
                await self._send(argument)
            case _:
                await self._fail(f"unknown request {name!r}")
                return False
        return True

    async def _fail(self, message: str) -> None:
        text = message.encode()
        await self._stream.write(_HEAD.pack(b"FAIL", len(text)) + text)

    def _stat(self, remote_path: str, *, follow: bool) -> os.stat_result | OSError:
        try:
            path = self._phone.disk.resolve(remote_path, follow=follow)
            return path.stat() if follow else path.lstat()
        except OSError as err:
            return err
        except ValueError as err:
            return OSError(errno.EINVAL, str(err))

    def _stat_v2(self, name: bytes, remote_path: str) -> bytes:
        found = self._stat(remote_path, follow=name == b"STA2")
        return _STAT_V2.pack(name, *_stat_v2_fields(found))

    async def _list(self, remote_path: str, *, detailed: bool) -> None:
        """One entry per file; an unreadable folder is listed as empty, as adbd does."""
        try:
            folder = self._phone.disk.resolve(remote_path, follow=True)
            entries = sorted(folder.iterdir())
        except (OSError, ValueError):
            entries = []
        answer = bytearray()
        for entry in entries:
            encoded = os.fsencode(entry.name)
            try:
                found: os.stat_result | OSError = entry.lstat()
            except OSError as err:
                found = err
            if detailed:
                answer += _DENT_V2.pack(b"DNT2", *_stat_v2_fields(found), len(encoded))
            else:
                answer += _DENT_V1.pack(b"DENT", *_stat_v1_fields(found), len(encoded))
            answer += encoded
        shape = _DENT_V2 if detailed else _DENT_V1
        await self._stream.write(bytes(answer) + b"DONE" + bytes(shape.size - 4))

    async def _send(self, remote_path: str) -> None:
        """A pull."""
        try:
            path = self._phone.disk.resolve(remote_path, follow=True)
            file = path.open("rb")
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            await self._fail(f"failed to open '{remote_path}': {reason}")
            return
        with file:
            while block := file.read(MAX_DATA_BYTES * _PULL_FRAMES):
                frames = [
                    _HEAD.pack(b"DATA", len(piece)) + piece
                    for begin in range(0, len(block), MAX_DATA_BYTES)
                    if (piece := block[begin : begin + MAX_DATA_BYTES])
                ]
                await self._stream.write(b"".join(frames))
        await self._stream.write(_HEAD.pack(b"DONE", 0))

    async def _receive(self, argument: str) -> None:
        """A push: `path,mode` in decimal, then the data."""
        remote_path, _, mode_text = argument.rpartition(",")
        mode = int(mode_text) if mode_text.isdigit() else 0
        upload = self._open_upload(remote_path, mode)
        if upload.error is not None:
            await self._fail(upload.error)
        link_target = bytearray()
        try:
            mtime_s = await self._take_data(upload, link_target if stat.S_ISLNK(mode) else None)
        except BaseException:
            upload.fail("the host went away")
            raise
        if upload.error is not None:
            self._room_bytes = None
            return
        self._room_bytes = upload.room_bytes - upload.written_bytes
        try:
            self._complete(upload, mode, mtime_s, bytes(link_target))
        except OSError as err:
            upload.fail(f"couldn't finish file: {err.strerror}")
            await self._fail(f"couldn't finish file: {err.strerror}")
        else:
            await self._stream.write(_HEAD.pack(b"OKAY", 0))

    def _open_upload(self, remote_path: str, mode: int) -> _Upload:
        denied = self._phone.faults.deny_push
        try:
            path = self._phone.disk.resolve(remote_path, follow=False)
            if path.is_symlink() and not stat.S_ISLNK(mode):
                path = self._phone.disk.resolve(remote_path, follow=True)
            if not self._phone.disk.writable(path):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            if denied is not None and remote_path.startswith(denied):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() or path.is_symlink():
                path.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file_fd = None if stat.S_ISLNK(mode) else os.open(path, flags, 0o600)
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            message = f"couldn't create file: {reason}"
            return _Upload(Path(), None, 0, error=message)
        if self._room_bytes is None:
            self._room_bytes = self._phone.free_bytes()
        return _Upload(path, file_fd, self._room_bytes)

    async def _take_data(self, upload: _Upload, link_target: bytearray | None) -> int:
        """Take DATA chunks until DONE; returns the modification time in seconds."""
        while True:
            name, length = _HEAD.unpack(await self._reader.exactly(_HEAD.size))
            if name == b"DONE":
                return int(length)
            if name != b"DATA" or length > MAX_DATA_BYTES:
                raise ConnectionError(f"{name!r} of {length} bytes in the middle of a push")
            async for piece in self._reader.pieces(length):
                if link_target is not None:
                    link_target += piece
                    continue
                before = upload.error
                _write_piece(upload, await self._spoil(piece))
                if upload.error is not None and before is None:
                    await self._fail(upload.error)

    async def _spoil(self, piece: memoryview) -> memoryview:
        """Let those faults happen that count the bytes of pushed files."""
        faults, progress = self._phone.faults, self._phone.progress
        begin = progress.pushed_bytes
        progress.pushed_bytes = end = begin + len(piece)
        if faults.slow_link is not None:
            # From when it came, not from when this task woke up: a link does not wait for that.
            begin_s = max(self._stream.arrived_s, self._link_free_s)
            self._link_free_s = begin_s + len(piece) / faults.slow_link
            now_s = time.monotonic()
            if self._link_free_s - now_s > _SHORTEST_SLEEP_S:
                await asyncio.sleep(self._link_free_s - now_s)
        if faults.corrupt_push is not None and begin <= faults.corrupt_push < end:
            spoilt = bytearray(piece)
            spoilt[faults.corrupt_push - begin] ^= 0xFF
            piece = memoryview(spoilt)
        if faults.wedge_after_bytes is not None and begin < faults.wedge_after_bytes <= end:
            self._link.mute()
        if faults.drop_after_bytes is not None and begin < faults.drop_after_bytes <= end:
            self._link.drop()
            raise ConnectionError("fault: the link drops")
        return piece

    def _complete(self, upload: _Upload, mode: int, mtime_s: int, link_target: bytes) -> None:
        """Give the file its mode and time; a link is made here. Raises OSError."""
        if stat.S_ISLNK(mode):
            target = os.fsdecode(link_target.rstrip(b"\0"))
            upload.path.symlink_to(self._phone.disk.map_command(target))
            return
        if upload.file_fd is not None:
            os.fchmod(upload.file_fd, stat.S_IMODE(mode) & 0o777)
            os.close(upload.file_fd)
            upload.file_fd = None
        os.utime(upload.path, (mtime_s, mtime_s))


def _write_piece(upload: _Upload, piece: memoryview) -> None:
    """Write it out, unless the push has failed or the disk is full now."""
    if upload.file_fd is None:
        return
    if upload.written_bytes + len(piece) > upload.room_bytes:
        upload.fail(f"couldn't write file: {os.strerror(errno.ENOSPC)}")
        return
    try:
        rest = piece
        while rest:
            rest = rest[os.write(upload.file_fd, rest) :]
        upload.written_bytes += len(piece)
    except OSError as err:
        upload.fail(f"couldn't write file: {err.strerror}")


def _stat_v1(found: os.stat_result | OSError) -> bytes:
    return _STAT_V1.pack(b"STAT", *_stat_v1_fields(found))


def _stat_v1_fields(found: os.stat_result | OSError) -> tuple[int, int, int]:
    """mode, size and mtime in 32 bits; zeros say that there is no such file."""
    if isinstance(found, OSError):
        return (0, 0, 0)
    return (found.st_mode, found.st_size & _U32, int(found.st_mtime) & _U32)


def _stat_v2_fields(found: os.stat_result | OSError) -> tuple[int, ...]:
    """error, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime."""
    if isinstance(found, OSError):
        return (found.errno or errno.EACCES, *(0,) * 10)
    return (
        0,
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        int(found.st_atime),
        int(found.st_mtime),
        int(found.st_ctime),
    )
