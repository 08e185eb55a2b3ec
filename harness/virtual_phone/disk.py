"""A virtual phone's disk: a folder that stands for `/`, and who may use it.

::

    <cache>/phones/<soc>-<name>/
        lock     held by the one daemon that runs on this disk
        root/    the phone's /
            data/local/tmp, sdcard      kept from one start to the next
            system, proc, sys           made anew at each start

Paths: adb's file services see `root/` as `/`. Shell commands run on the host's own
tools, so the absolute paths in their text are rewritten (`map_command`) and the real
ones in their output written back (`OutputMap`). What this misses: paths that a command
puts together from parts, reads from a file or takes from its input, `/` itself, and
the output of `exec:`. A command is free to read the rest of the host: the phone is no
sandbox and runs as the user who started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import posixpath
import re
import shutil
import tempfile
from pathlib import Path

from harness.errors import InputError

DATA_DIR = "/data/local/tmp"
# Folders of runs do not outlive the phone: nobody is left who could read their results.
RUNS_DIR = f"{DATA_DIR}/vlm-device-harness/runs"
# Where adb's shell user may write.
WRITABLE = (DATA_DIR, "/sdcard", "/storage/emulated/0")

IN_USE = "it is in use by"

_MAPPED = (
    "/data",
    "/sdcard",
    "/storage/emulated/0",
    "/system/bin",
    "/sys/devices/soc0",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/sys/kernel/random/boot_id",
)
_MAPPED_PATH = re.compile(
    r"(?<![\w./-])(" + "|".join(re.escape(prefix) for prefix in _MAPPED) + r")(?![\w.-])"
)
_ALIAS_PREFIX = "virtual-phone-"
_SHELL_SAFE = re.compile(r"[A-Za-z0-9_./+@-]+")


class PhoneDisk:
    """The disk of one running phone. Open it with `open_disk`."""

    def __init__(self, home_dir: Path, lock_fd: int) -> None:
        self.home_dir = home_dir
        self.root_dir = (home_dir / "root").resolve()
        self._lock_fd = lock_fd
        self._alias_dir: Path | None = None
        # The root as it appears in commands: no character of it means anything to a shell.
        self.shell_root = str(self.root_dir)
        if not _SHELL_SAFE.fullmatch(self.shell_root):
            self._remove_aliases()
            self._alias_dir = Path(tempfile.mkdtemp(prefix=_ALIAS_PREFIX))
            alias = self._alias_dir / "root"
            alias.symlink_to(self.root_dir)
            self.shell_root = str(alias)

    def _remove_aliases(self) -> None:
        """Remove what daemons on this disk that were killed have left; we hold the lock."""
        for alias in Path(tempfile.gettempdir()).glob(f"{_ALIAS_PREFIX}*/root"):
            with contextlib.suppress(OSError):
                if alias.readlink() == self.root_dir:
                    shutil.rmtree(alias.parent)

    def announce(self, port: int) -> None:
        """Write into the lock who holds it, for the message another daemon gives."""
        text = json.dumps({"pid": os.getpid(), "port": port}).encode()
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, text, 0)

    def prepare(self) -> None:
        """Make the folders a booted phone has and clear what the last boot left."""
        (self.root_dir / "data/local/tmp").mkdir(parents=True, exist_ok=True)
        (self.root_dir / "sdcard").mkdir(exist_ok=True)
        storage = self.root_dir / "storage/emulated"
        storage.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (storage / "0").symlink_to("../../sdcard")
        self.remove_runs()

    def remove_runs(self) -> None:
        """Remove the folders of all runs."""
        shutil.rmtree(self.root_dir / RUNS_DIR.lstrip("/"), ignore_errors=True)

    def used_bytes(self) -> int:
        """What the files on the disk take."""
        total = 0
        for folder, _names, files in os.walk(self.root_dir):
            for name in files:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).lstat().st_size
        return total

    def map_command(self, command: str) -> str:
        """A shell command with the phone's absolute paths turned into the host's."""
        return _MAPPED_PATH.sub(lambda found: self.shell_root + found[0], command)

    def resolve(self, remote_path: str, *, follow: bool) -> Path:
        """The host's path of a phone's path.

        Args:
            remote_path: absolute, or relative to `/`.
            follow: whether a symlink at its end is followed.

        Raises:
            PermissionError: a symlink on the way leads out of the phone.
            ValueError: a NUL in it.
        """
        if "\0" in remote_path:
            raise ValueError("NUL in path")
        # normpath stops ".." at "/", as a kernel does.
        inside = posixpath.normpath("/" + remote_path).lstrip("/")
        path = self.root_dir / inside
        real = path.resolve() if follow or not inside else path.parent.resolve() / path.name
        if not real.is_relative_to(self.root_dir):
            raise PermissionError(f"{remote_path} leads out of the phone")
        return real

    def writable(self, path: Path) -> bool:
        """Whether adb's shell user may create or change this (resolved) path."""
        return any(
            path.is_relative_to((self.root_dir / area.lstrip("/")).resolve()) for area in WRITABLE
        )

    def close(self) -> None:
        """Give the disk back; its persistent files stay."""
        self.remove_runs()
        if self._alias_dir is not None:
            shutil.rmtree(self._alias_dir, ignore_errors=True)
        os.ftruncate(self._lock_fd, 0)
        os.close(self._lock_fd)


def open_disk(phones_dir: Path, label: str, *, fresh: bool) -> PhoneDisk:
    """Take a disk for this process alone.

    Args:
        phones_dir: where the disks of all phones are.
        label: "<soc>-<name>", the disk's folder.
        fresh: wipe it first.

    Raises:
        InputError: another daemon runs on it, or it cannot be written.
    """
    doing = f"opening the disk of virtual phone {label}"
    home_dir = phones_dir / label
    try:
        (home_dir / "root").mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(home_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise InputError(doing, f"{home_dir}: {err.strerror}") from err
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        holder = _describe_holder(lock_fd)
        os.close(lock_fd)
        raise InputError(
            doing,
            f"{IN_USE} {holder}",
            hint="give this one another --name, or stop the other",
        ) from err
    if fresh:
        shutil.rmtree(home_dir / "root")
        (home_dir / "root").mkdir()
    return PhoneDisk(home_dir, lock_fd)


def _describe_holder(lock_fd: int) -> str:
    try:
        holder = json.loads(os.pread(lock_fd, 4096, 0))
        return f"process {holder['pid']} on 127.0.0.1:{holder['port']}"
    except (ValueError, KeyError, TypeError):
        return "a virtual phone that is just starting"


class OutputMap:
    """Turns the host's paths in a command's output back into the phone's.

    A path may be cut by a chunk's end, so the tail that could be the beginning of one is
    kept for the next `feed`; `flush` gives it out when nothing follows.
    """

    def __init__(self, disk: PhoneDisk) -> None:
        roots = sorted({disk.shell_root, str(disk.root_dir)}, key=len, reverse=True)
        self._roots = [os.fsencode(root) for root in roots]
        # "/" stays where the root itself is meant (`pwd`), nothing where a path follows.
        self._pattern = re.compile(
            b"(" + b"|".join(re.escape(root) for root in self._roots) + b")(/?)"
        )
        self._kept = b""

    @property
    def holds_back(self) -> bool:
        """Whether something waits for what follows it."""
        return bool(self._kept)

    def feed(self, chunk: bytes) -> bytes:
        """What of the output so far may be sent."""
        data = self._kept + chunk
        cut = len(data) - self._open_tail(data)
        for root in self._roots:
            # What a whole root becomes depends on what follows it.
            if data.endswith(root, 0, cut):
                cut -= len(root)
                break
        self._kept = data[cut:]
        return self._pattern.sub(b"/", data[:cut])

    def flush(self) -> bytes:
        """What was kept back."""
        data, self._kept = self._kept, b""
        return self._pattern.sub(b"/", data)

    def _open_tail(self, data: bytes) -> int:
        """Length of the longest end of `data` with which a root begins."""
        longest = 0
        for root in self._roots:
            begin = data.find(b"/", max(0, len(data) - len(root)))
            while begin != -1:
                if root.startswith(data[begin:]):
                    longest = max(longest, len(data) - begin)
                    break
                begin = data.find(b"/", begin + 1)
        return longest
