"""The commands a virtual phone executes: host processes that carry its mark.

As in Android's adbd, a command without a terminal has a session of its own, talks over
socket pairs (so `/dev/stdin` cannot be opened) and gets SIGHUP, alone, when its stream is
closed; what it started with `setsid` lives on. The mark, an environment variable with the
phone's folder, finds every process of a phone, also those of a daemon that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

MARK_VARIABLE = "VLM_VIRTUAL_PHONE"
_READ_BYTES = 1 << 18
_PROC = Path("/proc")


class Channel:
    """One non-blocking descriptor to a command, read and written without losing bytes.

    Not an asyncio transport: that drops what is still to be read when a write fails.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._closed = False

    async def read(self) -> bytes:
        """Some bytes, b"" at the end."""
        while not self._closed:
            try:
                return os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                await self._wait(writable=False)
            except OSError:  # a reset, or EIO: how the end of a terminal looks
                return b""
        return b""

    async def write(self, data: bytes) -> bool:
        """Write all of it; False when the command does not listen any more."""
        rest = memoryview(data)
        while rest:
            if self._closed:
                return False
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                await self._wait(writable=True)
            except OSError:
                return False
        return True

    async def _wait(self, *, writable: bool) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        add, remove = (
            (loop.add_writer, loop.remove_writer)
            if writable
            else (loop.add_reader, loop.remove_reader)
        )
        add(self.fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            remove(self.fd)

    def end_input(self) -> None:
        """Let the command read end of file."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.fd)) as end:
            end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the descriptor; harmless when it is closed already."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)


class PhoneProcess:
    """A running command: `main` is its input and output, `errors` its stderr if apart."""

    def __init__(
        self, popen: subprocess.Popen[bytes], main: Channel, errors: Channel | None
    ) -> None:
        self.pid = popen.pid
        self.main = main
        self.errors = errors
        self._popen = popen
        # A task of its own, so that it is reaped even when its stream has gone. Its result is
        # the exit code as a shell reports it: 128 + N for signal N.
        self.exit_code = asyncio.create_task(self._reap())

    async def _reap(self) -> int:
        pidfd = os.pidfd_open(self.pid)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        code = self._popen.wait()
        return 128 - code if code < 0 else code

    def hang_up(self) -> None:
        """What adbd does when the host has closed the stream: SIGHUP, and no more pipes."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGHUP)

    def resize(self, rows: int, columns: int) -> None:
        """Tell a command with a terminal the size of the host's window."""
        with contextlib.suppress(OSError):
            size = struct.pack("<4H", rows, columns, 0, 0)
            fcntl.ioctl(self.main.fd, termios.TIOCSWINSZ, size)

    def close(self) -> None:
        """Close our ends of its pipes."""
        self.main.close()
        if self.errors is not None:
            self.errors.close()


def start_piped(
    command: str, cwd: Path, env: Mapping[str, str], *, split_errors: bool
) -> PhoneProcess:
    """Start `sh -c command` (or a plain `sh` for "") over socket pairs."""
    ours, theirs = socket.socketpair()
    ours_err, theirs_err = socket.socketpair() if split_errors else (None, theirs)
    with theirs, theirs_err:
        popen = subprocess.Popen(
            ["/bin/sh", "-c", command] if command else ["/bin/sh"],
            cwd=cwd,
            env=dict(env),
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=theirs_err.fileno(),
            start_new_session=True,
        )
    errors = None if ours_err is None else Channel(ours_err.detach())
    return PhoneProcess(popen, Channel(ours.detach()), errors)


def start_in_terminal(command: str, cwd: Path, env: Mapping[str, str]) -> PhoneProcess:
    """Start `sh -c command` (or an interactive `sh` for "") in a terminal of its own."""
    ours, theirs = pty.openpty()
    os.set_inheritable(ours, False)
    shell = ["/bin/sh", "-c", command] if command else ["/bin/sh", "-i"]
    try:
        # setsid --ctty makes the terminal the controlling one, which Popen cannot.
        popen = subprocess.Popen(
            ["setsid", "--ctty", *shell],
            cwd=cwd,
            env=dict(env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    return PhoneProcess(popen, Channel(ours), None)


def find_processes(mark: str) -> set[int]:
    """The ids of all live processes that carry this mark in their environment."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    found = set()
    for pid in _process_ids():
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            if wanted in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found - {os.getpid()}


def kill_processes(mark: str) -> int:
    """SIGKILL to all processes with this mark, also those they start meanwhile; how many."""
    killed: set[int] = set()
    while fresh := find_processes(mark) - killed:
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= fresh
    return len(killed)


def kill_innermost(mark: str, pattern: re.Pattern[str], number: int = signal.SIGKILL) -> bool:
    """A signal to those marked processes whose command line matches and no child's does.

    The shell around a command has the command in its own line; the fault is meant for the
    command. Returns whether there was any.
    """
    lines = {pid: _command_line(pid) for pid in find_processes(mark)}
    matching = {pid for pid, line in lines.items() if pattern.search(line)}
    innermost = matching - {_parent(pid) for pid in matching}
    for pid in innermost:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(innermost)


def watch_process(pid: int, on_exit: Callable[[], None]) -> None:
    """Call `on_exit` in the running loop when another process ends."""
    pidfd = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        on_exit()

    loop.add_reader(pidfd, ended)


def _process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _command_line(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace").strip()


def _parent(pid: int) -> int:
    try:
        # The name, in parentheses, may hold spaces and parentheses itself.
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return int(after_name[1])
    except (OSError, IndexError, ValueError):
        return 0
