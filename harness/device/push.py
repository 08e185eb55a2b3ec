"""Bringing files into the store of a device."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.shell import ShellStream, command_line, finish_command
from harness.device.store import SEAL_S, STORE_DIR, LocalFile, look_into_store, trim_store
from harness.device.sync import SyncStream, unreadable
from harness.device.wire import AdbFail
from harness.errors import BundleCorrupt, DeviceError, DeviceFull, TransferCorrupt

# Room left for run folders, logs and what else writes to the disk meanwhile.
RESERVE_BYTES = 16 * 1024 * 1024
LOOK_S = 30.0
DROP_S = 5.0
SLOWEST_LINK_BYTES_PER_S = 1_000_000
# Files are verified and named when this much was sent, so that an interrupted push does
# not begin from nothing.
BATCH_BYTES = 64 * 1024 * 1024
BATCH_FILES = 500  # their names share one command
SHA256 = re.compile("[0-9a-f]{64}")

# Files of this size and more are hashed by the device while they still arrive.
FOLLOW_BYTES = 4 * 1024 * 1024

# What the device does about one batch, started before anything is sent. Arguments: store, tag,
# then S:SIZE of each file in the order they come; SIZE 0: hash it when all are there. Files
# arrive in TAG.part. A line on stdin says that everything was sent; then what is right is
# named. Prints "ok S" or "bad S FOUND".
# Its content is flushed to the disk after that, with nobody waiting: marks say what a crash
# would make doubtful (`store.py`). Toybox's `sync` takes no names, its `fsync` does; on Linux
# boards it is the other way round.
NAME_SCRIPT = """
cd "$1" || exit 1
part=$2.part; shift 2
# Writes file $1 of $2 bytes out while it grows; gives up when it has not grown for a while.
follow() {
  blocks=0; idle=0
  while [ $idle -lt 1000 ]; do
    have=$(stat -c %s "$1" 2>/dev/null) || have=0
    if [ "$have" -ge "$2" ]; then
      dd if="$1" bs=1048576 skip=$blocks 2>/dev/null
      return
    fi
    ready=$((have / 1048576 - blocks))
    if [ $ready -gt 0 ]; then
      dd if="$1" bs=1048576 skip=$blocks count=$ready 2>/dev/null
      blocks=$((blocks + ready)); idle=0
    else
      idle=$((idle + 1)); sleep 0.05
    fi
  done
}
sums=; small=
for word in "$@"; do
  sha=${word%:*}
  if [ "${word#*:}" = 0 ]; then small="$small $sha"; continue; fi
  found=$(follow "$part/$sha" "${word#*:}" | sha256sum)
  sums="$sums ${found%% *} $sha"
done
read -r _ || exit 1
cd "$part" || exit 1
if [ -n "$small" ]; then sums="$sums $(sha256sum $small)"; fi
good=
set -- $sums
while [ $# -gt 1 ]; do
  if [ "$1" = "$2" ]; then good="$good $2"; else rm -f "$2"; echo "bad $2 $1"; fi
  shift 2
done
if [ -n "$good" ]; then
  read -r boot </proc/sys/kernel/random/boot_id
  marks=../../unflushed/$boot
  [ -d "$marks" ] || mkdir -p "$marks" || exit 1
  (cd "$marks" && exec touch $good) || exit 1
  chmod 755 $good && mv -f $good .. || exit 1
  for sha in $good; do echo "ok $sha"; done
  cd .. && setsid sh -c '{ fsync "$@" || sync "$@"; } && cd "$0" && rm -f "$@"' \\
    "${marks#../}" $good </dev/null >/dev/null 2>&1 &
  cd ..
else
  cd ..
fi
rmdir "$part" 2>/dev/null
exit 0
"""
DROP_SCRIPT = 'cd "$1" && rm -rf "./$2.part"'

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

    `deadline` defaults to half a minute and a second per megabyte to send. Raises
    DeviceFull before anything is sent if it cannot fit, and when the disk fills up
    meanwhile; TransferCorrupt when a file arrives wrong twice; BundleCorrupt when a local
    file is not what its LocalFile says; and the errors of `Device.shell`.
    """
    by_sha = {file.sha256: file for file in files.values()}
    for sha in by_sha:
        if not SHA256.fullmatch(sha):
            raise ValueError(f"{sha!r} is no sha256 in lower-case hex")
    state = look_into_store(device, by_sha, deadline or Deadline(LOOK_S))
    missing = [file for sha, file in by_sha.items() if sha not in state.present]
    needed_bytes = sum(file.size_bytes for file in missing)
    if missing:
        limit = deadline or Deadline(LOOK_S + needed_bytes / SLOWEST_LINK_BYTES_PER_S)
        freed_bytes = trim_store(device, state, needed_bytes + RESERVE_BYTES, limit)
        room = None if state.free_bytes is None else state.free_bytes + freed_bytes - RESERVE_BYTES
        if room is not None and needed_bytes > room:
            raise _full(device, needed_bytes, max(0, room))
        _Push(device, missing, limit, on_progress or _no_progress).run()
    return PushStats(needed_bytes, len(missing), len(by_sha) - len(missing))


class _Push:
    """One sending of files that the device does not have."""

    def __init__(
        self,
        device: Device,
        files: Sequence[LocalFile],
        deadline: Deadline,
        on_progress: Progress,
    ) -> None:
        self._device = device
        self._files = files
        self._deadline = deadline
        self._on_progress = on_progress
        self._total_bytes = sum(file.size_bytes for file in files)
        self._done_bytes = 0
        # Unique among all hosts and processes that may push to this device now.
        self._tag = f"{device.token or os.getpid()}-{secrets.token_hex(4)}"

    def run(self) -> None:
        try:
            for batch in _batches(self._files):
                wrong = self._send_and_name(batch)
                if wrong:  # once more: cables have bad moments
                    self._done_bytes -= sum(file.size_bytes for file in wrong)
                    wrong = self._send_and_name(wrong)
                if wrong:
                    raise self._corrupt(wrong[0])
        except BaseException:
            self._drop_parts()
            raise

    def _send_and_name(self, batch: Sequence[LocalFile]) -> list[LocalFile]:
        """Send files and let the device verify them; returns those that arrived wrong."""
        doing = f"sending {len(batch)} files to {self._device.serial}"
        argv = ["sh", "-c", NAME_SCRIPT, "sh", STORE_DIR, self._tag]
        for file in batch:
            followed = file.size_bytes if file.size_bytes >= FOLLOW_BYTES else 0
            argv.append(f"{file.sha256}:{followed}")
        with (
            self._device.transport(doing, self._deadline) as naming,
            self._device.transport(doing, self._deadline) as sending,
        ):
            namer = ShellStream(naming, command_line(argv))
            self._send(SyncStream(sending), batch)
            namer.write_stdin(b"sent\n")
            namer.close_stdin()
            result = finish_command(namer)
        named = {line[3:] for line in result.stdout.splitlines() if line.startswith("ok ")}
        answered = named | {
            line.split()[1] for line in result.stdout.splitlines() if line.startswith("bad ")
        }
        if any(file.sha256 not in answered for file in batch):
            # A full disk, a store without permission: the device's words say which.
            raise self._refused(result.stderr.strip() or f"exit code {result.exit_code}")
        return [file for file in batch if file.sha256 not in named]

    def _send(self, stream: SyncStream, batch: Sequence[LocalFile]) -> None:
        """Bring files into this push's own folder in the store."""
        try:
            for file in batch:
                remote_path = f"{STORE_DIR}/{self._tag}.part/{file.sha256}"
                sent_bytes = stream.send_file(file.path, remote_path, SEAL_S, self._count)
                if sent_bytes != file.size_bytes:
                    raise BundleCorrupt(
                        f"sending {file.path}",
                        f"it has {sent_bytes} bytes",
                        expected=f"{file.size_bytes}",
                    )
            stream.finish()
        except AdbFail as err:
            raise self._refused(err.reason) from err

    def _count(self, sent_bytes: int) -> None:
        self._done_bytes += sent_bytes
        self._on_progress(self._done_bytes, self._total_bytes)

    def _refused(self, reason: str) -> DeviceError:
        doing = f"sending files to {self._device.serial}"
        if "no space" not in reason.lower():
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
            "it arrived with another sha256, twice",
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


def _batches(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """`files` in order, in groups of about BATCH_BYTES."""
    batch: list[LocalFile] = []
    size_bytes = 0
    for file in files:
        batch.append(file)
        size_bytes += file.size_bytes
        if size_bytes >= BATCH_BYTES or len(batch) == BATCH_FILES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


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
