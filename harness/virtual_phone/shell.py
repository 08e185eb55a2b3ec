"""The services that run commands: `shell:`, `shell,v2:` and `exec:`.

Version 2 frames what it carries: one byte of kind, `<I` length, the bytes. The older
services mix stdout and stderr and tell no exit code.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from harness.virtual_phone.disk import OutputMap
from harness.virtual_phone.faults import CommandFault
from harness.virtual_phone.phone import Link, Phone
from harness.virtual_phone.processes import Channel, PhoneProcess, kill_innermost
from harness.virtual_phone.stream import ByteReader, Stream

_FRAME = struct.Struct("<BI")
# How long a tail that may be the beginning of a path waits for the rest of it.
_PATH_WAIT_S = 0.02


class FrameKind(IntEnum):
    """The first byte of a shell,v2 frame."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4
    WINDOW_SIZE = 5


@dataclass(frozen=True)
class ShellRequest:
    """What a destination like `shell,v2,TERM=xterm,raw:ls` asks for."""

    command: str
    framed: bool
    terminal: bool
    term: str
    mapped: bool  # whether paths in the output are written back

    @classmethod
    def parse(cls, destination: str) -> ShellRequest:
        """The request in a destination that begins with `shell` or `exec`."""
        head, _, command = destination.partition(":")
        service, *options = head.split(",")
        terminal = "pty" in options or (service == "shell" and not command and "raw" not in options)
        terms = [option[5:] for option in options if option.startswith("TERM=")]
        return cls(
            command=command,
            framed="v2" in options,
            terminal=terminal,
            term=terms[0] if terms else "dumb",
            mapped=service == "shell",
        )


async def serve_shell(phone: Phone, link: Link, stream: Stream, request: ShellRequest) -> None:
    """Run one command for as long as its output and its stream last."""
    failing = phone.progress.use("fail_command", phone.faults.fail_command, request.command)
    if failing is not None:
        await _fail(stream, request, failing)
        return
    async with phone.fresh_vitals(request.command):
        if request.terminal:
            process = phone.start_in_terminal(request.command, request.term)
        else:
            process = phone.start(request.command, split_errors=request.framed)
        schedule_faults(phone, link, request.command)
        session = _Session(phone, stream, request, process)
        try:
            await session.run()
        finally:
            process.close()


async def _fail(stream: Stream, request: ShellRequest, fault: CommandFault) -> None:
    """What a command says that may not, or cannot, do what it should."""
    words = f"sh: {fault.message}\n".encode()
    if not request.framed:
        await stream.write(words)
        return
    await stream.write(_FRAME.pack(FrameKind.STDERR, len(words)) + words)
    await stream.write(_FRAME.pack(FrameKind.EXIT, 1) + b"\1")


class _Session:
    """One command and the stream it talks over."""

    def __init__(
        self, phone: Phone, stream: Stream, request: ShellRequest, process: PhoneProcess
    ) -> None:
        self._phone = phone
        self._stream = stream
        self._request = request
        self._process = process
        garble = phone.faults.garble_command
        self._garbled = phone.progress.use("garble_command", garble, request.command) is not None

    async def run(self) -> None:
        """Pass data on in all directions until the command or the stream has ended."""
        outputs = asyncio.gather(*self._pumps())
        typing = asyncio.create_task(self._take_input())
        gone = asyncio.create_task(self._stream.wait_closed())
        ended = asyncio.create_task(self._await_end(outputs))
        tasks: list[asyncio.Future[Any]] = [outputs, typing, gone, ended]
        try:
            await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stream.closed:
                await self._tell_exit_code(ended.result())
            elif self._request.framed:
                self._process.hang_up()
            else:
                # Without frames the command holds the other end of the stream itself: it
                # sees what was sent and then the end, but no signal.
                await asyncio.wait({typing, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _await_end(self, outputs: asyncio.Future[list[None]]) -> int:
        """Wait for the end of the output and of the command; its exit code."""
        await outputs
        return await asyncio.shield(self._process.exit_code)

    def _pumps(self) -> list[Coroutine[Any, Any, None]]:
        pumps = [self._pump(self._process.main, FrameKind.STDOUT)]
        if self._process.errors is not None:
            pumps.append(self._pump(self._process.errors, FrameKind.STDERR))
        return pumps

    async def _pump(self, channel: Channel, kind: FrameKind) -> None:
        """Send what the command says as it comes."""
        if not self._request.mapped:
            while chunk := await channel.read():
                await self._say(kind, chunk)
            return
        output = OutputMap(self._phone.disk)
        reading = asyncio.ensure_future(channel.read())
        try:
            while True:
                wait_s = _PATH_WAIT_S if output.holds_back else None
                await asyncio.wait({reading}, timeout=wait_s)
                if not reading.done():
                    await self._say(kind, output.flush())
                    continue
                chunk = reading.result()
                if not chunk:
                    await self._say(kind, output.flush())
                    return
                await self._say(kind, output.feed(chunk))
                reading = asyncio.ensure_future(channel.read())
        finally:
            reading.cancel()

    async def _say(self, kind: FrameKind, data: bytes) -> None:
        if self._garbled and kind == FrameKind.STDOUT:
            data = bytes(byte ^ 0xFF for byte in data)
        if data:
            await self._stream.write(self._frame(kind, data) if self._request.framed else data)

    @staticmethod
    def _frame(kind: FrameKind, data: bytes) -> bytes:
        return _FRAME.pack(kind, len(data)) + data

    async def _take_input(self) -> None:
        """Feed the command with what the host sends; returns when the stream is closed."""
        if not self._request.framed:
            while chunk := await self._stream.read():
                await self._process.main.write(chunk)
            return
        reader = ByteReader(self._stream)
        while True:
            kind, length = _FRAME.unpack(await reader.exactly(_FRAME.size))
            data = await reader.exactly(length)
            if kind == FrameKind.STDIN:
                await self._process.main.write(data)
            elif kind == FrameKind.CLOSE_STDIN:
                self._process.main.end_input()
            elif kind == FrameKind.WINDOW_SIZE and (size := re.match(rb"(\d+)x(\d+)", data)):
                self._process.resize(int(size[1]), int(size[2]))

    async def _tell_exit_code(self, code: int) -> None:
        phone, command = self._phone, self._request.command
        if phone.progress.use("no_exit_code", phone.faults.no_exit_code, command):
            return
        if self._request.framed:
            await self._stream.write(self._frame(FrameKind.EXIT, bytes([code & 0xFF])))


def schedule_faults(phone: Phone, link: Link, command: str) -> None:
    """Let those command faults happen that this command has called for."""

    def kill(fault: CommandFault) -> None:
        kill_innermost(phone.mark, fault.pattern, fault.signal)

    def drop(_fault: CommandFault) -> None:
        link.drop()

    def wedge(_fault: CommandFault) -> None:
        link.mute()

    def reboot(_fault: CommandFault) -> None:
        phone.run_task(phone.reboot())

    planned: list[tuple[str, CommandFault | None, Callable[[CommandFault], None]]] = [
        ("kill_command", phone.faults.kill_command, kill),
        ("drop_command", phone.faults.drop_command, drop),
        ("reboot_command", phone.faults.reboot_command, reboot),
        ("wedge_command", phone.faults.wedge_command, wedge),
    ]
    for name, fault, happen in planned:
        if (due := phone.progress.use(name, fault, command)) is not None:
            phone.run_task(_after(due, happen))


async def _after(fault: CommandFault, happen: Callable[[CommandFault], None]) -> None:
    await asyncio.sleep(fault.after_s)
    happen(fault)
