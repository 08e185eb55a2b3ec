"""Bringing files into the store of a device."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.push_script import DROP_SCRIPT
from harness.device.sending import Sending
from harness.device.store import (
    NAMES_PER_LOOK,
    STORE_DIR,
    LocalFile,
    look_into_store,
    trim_store,
)
from harness.device.sync import SyncStream, unreadable
from harness.device.taker import Taker, open_taker
from harness.device.wire import AdbFail
from harness.errors import BundleCorrupt, DeviceError, DeviceFull, TransferCorrupt

# Room left for run folders, logs and what else writes to the disk meanwhile.
RESERVE_BYTES = 16 * 1024 * 1024
LOOK_S = 30.0
DROP_S = 5.0
SLOWEST_LINK_BYTES_PER_S = 1_000_000
SHA256 = re.compile("[0-9a-f]{64}")

Progress = Callable[[int, int], None]  # (bytes done, bytes in total)


@dataclass(frozen=True)
class PushStats:
    """What a deployment did. Two names of one content count once."""

    pushed_bytes: int
    pushed_files: int
    present_files: int


def deploy(
    device: Device,
    files: Mapping[str, LocalFile],
    *,
    on_progress: Progress | None = None,
    deadline: Deadline | None = None,
) -> PushStats:
    """Bring the content of `files` into the device's store; send only what is not there.

    `deadline` defaults to a minute and a second per megabyte. Raises DeviceFull before
    anything is sent if it cannot fit, and when the disk fills up meanwhile; TransferCorrupt
    when a file arrives wrong twice; BundleCorrupt when a local file is not what its LocalFile
    says; and the errors of `Device.shell`.
    """
    by_sha = {file.sha256: file for file in files.values()}
    for sha in by_sha:
        if not SHA256.fullmatch(sha):
            raise ValueError(f"{sha!r} is no sha256 in lower-case hex")
    size_bytes = sum(file.size_bytes for file in by_sha.values())
    limit = deadline or Deadline(2 * LOOK_S + size_bytes / SLOWEST_LINK_BYTES_PER_S)
    missing = _Push(device, limit, on_progress or _no_progress).run(by_sha)
    pushed_bytes = sum(file.size_bytes for file in missing)
    return PushStats(pushed_bytes, len(missing), len(by_sha) - len(missing))


class _Push:
    """One deployment."""

    def __init__(self, device: Device, deadline: Deadline, on_progress: Progress) -> None:
        self._device = device
        self._deadline = deadline
        self._on_progress = on_progress
        self._total_bytes = self._done_bytes = 0
        self._words = ""  # what the device complained of last
        # Unique among all hosts and processes that may push to this device now.
        self._tag = f"{device.token or os.getpid()}-{secrets.token_hex(4)}"

    def run(self, files: Mapping[str, LocalFile]) -> list[LocalFile]:
        """Send those of `files` (by sha256) that are missing; which these were."""
        names = list(files)
        present: set[str] = set()
        for start in range(NAMES_PER_LOOK, len(names), NAMES_PER_LOOK):
            chunk = {name: files[name] for name in names[start : start + NAMES_PER_LOOK]}
            present |= look_into_store(self._device, chunk, self._deadline).present
        first = names[:NAMES_PER_LOOK]
        with open_taker(self._device, first, files, self._deadline) as taker:
            present |= taker.state.present
            missing = [file for name, file in files.items() if name not in present]
            self._total_bytes = sum(file.size_bytes for file in missing)
            all_there = taker.ended
            wrong = missing if all_there else self._push(taker, missing)
        if wrong and all_there:  # but not whole
            wrong = self._push_anew(wrong)
        if wrong:  # once more: cables have bad moments
            self._done_bytes -= sum(file.size_bytes for file in wrong)
            wrong = self._push_anew(wrong)
        if wrong:
            raise self._corrupt(wrong[0])
        return missing

    def _push_anew(self, files: Sequence[LocalFile]) -> list[LocalFile]:
        with open_taker(self._device, [], {}, self._deadline) as taker:
            return self._push(taker, files)

    def _push(self, taker: Taker, files: Sequence[LocalFile]) -> list[LocalFile]:
        """Send files to a device that is ready; returns those that arrived wrong."""
        if not files:
            taker.finish()
            return []
        size_bytes = sum(file.size_bytes for file in files)
        self._make_room(taker, size_bytes)
        try:
            numbers = self._send(taker, files)
            taken = taker.finish()
            self._words = f"; the device says {taken.words!r}" if taken.words else ""
            torn = {sha for sha, number in numbers.items() if number in taken.torn}
            left = [file for file in files if file.sha256 not in taken.named]
            unsaid = [file for file in left if file.sha256 not in taken.wrong | torn]
            if unsaid or (left and _is_full(taken.words)):
                # A full disk, a store without permission: the device's words say which.
                raise self._refused(taken.words)
        except BaseException:
            self._drop_parts()
            raise
        if taker.state.unused_files or taker.state.over_bytes(size_bytes + RESERVE_BYTES) > 0:
            state = look_into_store(self._device, {}, self._deadline)
            trim_store(self._device, state, RESERVE_BYTES, self._deadline)
        return left

    def _make_room(self, taker: Taker, needed_bytes: int) -> None:
        """Trim the store if the disk is too full; DeviceFull if that does not help."""
        free_bytes = taker.state.free_bytes
        if free_bytes is None or needed_bytes + RESERVE_BYTES <= free_bytes:
            return
        wanted_bytes = needed_bytes + RESERVE_BYTES
        free_bytes += trim_store(self._device, taker.measure(), wanted_bytes, self._deadline)
        if wanted_bytes > free_bytes:
            raise _full(self._device, needed_bytes, max(0, free_bytes - RESERVE_BYTES))

    def _send(self, taker: Taker, files: Sequence[LocalFile]) -> dict[str, int]:
        """Bring files into this push's own folder in the store; the sending each went with."""
        doing = f"sending {len(files)} files to {self._device.serial}"
        with self._device.transport(doing, self._deadline) as connection:
            try:
                sending = Sending(SyncStream(connection), taker, self._tag, self._count)
                return sending.send(files)
            except AdbFail as err:
                raise self._refused(err.reason) from err

    def _count(self, sent_bytes: int) -> None:
        self._done_bytes += sent_bytes
        self._on_progress(self._done_bytes, self._total_bytes)

    def _refused(self, reason: str) -> DeviceError:
        doing = f"sending files to {self._device.serial}"
        if not _is_full(reason):
            return DeviceError(doing, f"the device says {reason!r}").on(self._device.serial)
        self._drop_parts()
        free_bytes = look_into_store(self._device, {}, Deadline(LOOK_S)).free_bytes or 0
        return _full(self._device, self._total_bytes, free_bytes)

    def _corrupt(self, file: LocalFile) -> DeviceError | BundleCorrupt:
        found = _sha256_of(file.path)
        doing = f"sending {file.path} to {self._device.serial}"
        if found != file.sha256:
            return BundleCorrupt(doing, f"its sha256 is {found}", expected=file.sha256)
        return TransferCorrupt(
            doing,
            "it arrived with another sha256, twice" + self._words,
            expected=file.sha256,
            hint="try another cable or port",
        ).on(self._device.serial)

    def _drop_parts(self) -> None:
        """Remove what half arrived, if the device can still be asked to."""
        argv = ["sh", "-c", DROP_SCRIPT, "sh", STORE_DIR, self._tag]
        try:
            self._device.shell(argv, Deadline(DROP_S))
        except DeviceError:
            return  # it is removed by the first push after a day


def _is_full(words: str) -> bool:
    return "no space" in words.lower()


def _full(device: Device, needed_bytes: int, free_bytes: int) -> DeviceFull:
    error = DeviceFull(
        f"sending files to {device.serial}",
        f"{needed_bytes / 1e6:.1f} MB are needed, {free_bytes / 1e6:.1f} MB are free",
        expected=f"room below {STORE_DIR}",
        hint=f"adb -s {device.serial} shell rm -rf {STORE_DIR}  (other bundles are sent again)",
    )
    error.serial = device.serial
    error.needed_bytes, error.free_bytes = needed_bytes, free_bytes
    return error


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise unreadable(path, err) from err


def _no_progress(done_bytes: int, total_bytes: int) -> None:
    """Nobody watches."""
