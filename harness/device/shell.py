"""Commands on a device by the shell protocol, version 2: exit code and both streams."""

from __future__ import annotations

import shlex
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from harness.device.wire import AdbFail, Connection
from harness.errors import CommandFailed

HEADER = struct.Struct("<BI")  # id, length
STDIN_CHUNK_BYTES = 32 * 1024
KEEP_BYTES = 8 * 1024 * 1024


class Frame(IntEnum):
    """The ids of shell protocol frames."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4


@dataclass(frozen=True)
class CommandResult:
    """How a command on the device ended. `exit_code` is 128 + N after signal N."""

    exit_code: int
    stdout: str
    stderr: str

    def check(self, doing: str, serial: str) -> CommandResult:
        """Itself; CommandFailed if the exit code is not 0."""
        if self.exit_code == 0:
            return self
        said = (self.stderr.strip() or self.stdout.strip() or "without a word")[-2000:]
        error = CommandFailed(doing, f"exit code {self.exit_code} on {serial}: {said}")
        error.serial = serial
        error.exit_code, error.stdout, error.stderr = self.exit_code, self.stdout, self.stderr
        raise error


class StreamTail:
    """The last `keep_bytes` or more of a stream, so that a babbling command costs no memory."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self.content = bytearray()

    def append(self, data: bytes) -> None:
        self.content += data
        if len(self.content) > 2 * self._keep_bytes:
            del self.content[: -self._keep_bytes]

    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


def command_line(
    argv: Sequence[str], cwd: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """One sh command line that runs `argv` with nothing interpreted on the way.

    ValueError for what no process can be given: no argument at all, a NUL character, a
    variable name that is none.
    """
    if isinstance(argv, str) or not argv:
        raise ValueError(f"argv must be a sequence of arguments, not {argv!r}")
    words: list[str] = []
    for name, value in (env or {}).items():
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"{name!r} is no name of an environment variable")
        words.append(f"{name}={value}")
    # `env`, not `export`: nothing but the command itself sees LD_LIBRARY_PATH.
    words = ["env", *words, *argv] if words else [*argv]
    line = "exec " + " ".join(map(shlex.quote, words))
    if cwd is not None:
        line = f"cd {shlex.quote(cwd)} && {line}"
    if "\0" in line:
        raise ValueError("an argument contains a NUL character")
    return line


class ShellStream:
    """A running command: its frames as they come, and its standard input."""

    def __init__(self, connection: Connection, command: str) -> None:
        """Start `command` (for the device's sh) over a connection with a transport."""
        self.connection = connection
        self._head: tuple[int, int] | None = None
        try:
            connection.request(f"shell,v2,raw:{command}")
        except EOFError as err:
            # So the server answers when the transport ends under its hands.
            raise AdbFail("closed") from err

    def write_stdin(self, data: bytes) -> None:
        for start in range(0, len(data), STDIN_CHUNK_BYTES):
            chunk = data[start : start + STDIN_CHUNK_BYTES]
            self.connection.send(HEADER.pack(Frame.STDIN, len(chunk)) + chunk)

    def close_stdin(self) -> None:
        self.connection.send(HEADER.pack(Frame.CLOSE_STDIN, 0))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(id, payload) up to and with the exit frame.

        EOFError if the device hangs up before that one: then nobody knows how the
        command ended. After a TimeoutError another call goes on where this one stopped.
        """
        while True:
            if self._head is None:
                self._head = HEADER.unpack(self.connection.read_exact(HEADER.size))
            frame_id, length = self._head
            payload = self.connection.read_exact(length)
            self._head = None
            yield frame_id, payload
            if frame_id == Frame.EXIT:
                return


class Dialogue:
    """A running command that is spoken with line by line."""

    def __init__(self, stream: ShellStream) -> None:
        self._stream = stream
        self._frames = stream.frames()
        self._unread = b""
        self._stderr = StreamTail()
        self._exit_code: int | None = None

    @property
    def ended(self) -> bool:
        return self._exit_code is not None

    def say(self, line: str) -> None:
        self._stream.write_stdin(line.encode() + b"\n")

    def read_line(self) -> str | None:
        """The command's next line; None when it has ended. EOFError as of `frames`."""
        while b"\n" not in self._unread:
            frame_id, payload = next(self._frames, (Frame.EXIT, b""))
            if frame_id == Frame.STDOUT:
                self._unread += payload
            elif frame_id == Frame.STDERR:
                self._stderr.append(payload)
            elif frame_id == Frame.EXIT:
                self._exit_code = payload[0] if payload else self._exit_code
                return None
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("utf-8", "replace")

    def say_no_more(self) -> None:
        self._stream.close_stdin()

    def finish(self) -> CommandResult:
        """Read to the end; the result holds the lines that were not read before."""
        lines = list(iter(self.read_line, None))
        exit_code = -1 if self._exit_code is None else self._exit_code
        return CommandResult(exit_code, "".join(f"{line}\n" for line in lines), self._stderr.text())


def finish_command(stream: ShellStream) -> CommandResult:
    """Read `stream` to its end."""
    stdout, stderr = StreamTail(), StreamTail()
    exit_code = -1
    for frame_id, payload in stream.frames():
        if frame_id == Frame.STDOUT:
            stdout.append(payload)
        elif frame_id == Frame.STDERR:
            stderr.append(payload)
        elif frame_id == Frame.EXIT:
            exit_code = payload[0] if payload else -1
    return CommandResult(exit_code, stdout.text(), stderr.text())
