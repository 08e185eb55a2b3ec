"""The device's side of a push: one command that looks into the store and takes what is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.push_script import PUSH_SCRIPT
from harness.device.shell import Dialogue, ShellStream, command_line
from harness.device.store import LOOKING, LocalFile, StoreState, look_arguments, read_look
from harness.device.wire import AdbFail

ANSWER_S = 30.0


@dataclass(frozen=True)
class Taken:
    """What the device says of the files that were sent."""

    named: frozenset[str]  # sha256 of those that are in the store now
    wrong: frozenset[str]  # sha256 of those that arrived with another one
    torn: frozenset[int]  # numbers of packs that could not be unpacked
    words: str  # its complaints


class Taker:
    """PUSH_SCRIPT at work. `state` is known as far as its look has come."""

    def __init__(self, device: Device, dialogue: Dialogue, files: Mapping[str, LocalFile]) -> None:
        self._device = device
        self._dialogue = dialogue
        self._files = files
        self._lines: list[str] = []
        self.state = self._read_until("free")

    @property
    def ended(self) -> bool:
        """Whether it has found all files that it was asked for, and takes none."""
        return self._dialogue.ended

    def measure(self) -> StoreState:
        """The state with how full the store is, which takes a while to find out."""
        self.state = self._read_until("stored")
        return self.state

    def say(self, *words: object) -> None:
        """Tell it something. AdbFail with its last words if it has ended before its time."""
        try:
            self._dialogue.say(" ".join(map(str, words)))
        except ConnectionError as err:
            with suppress(ConnectionError, EOFError):
                result = self._dialogue.finish()
                raise AdbFail(result.stderr.strip() or f"exit code {result.exit_code}") from err
            raise

    def finish(self) -> Taken:
        """Nothing more is sent; what has become of what was."""
        if not self.ended:
            self._dialogue.say_no_more()
        result = self._dialogue.finish()
        self._lines += result.stdout.splitlines()
        self.state = read_look(self._lines, self._files)
        said: dict[str, set[str]] = {"ok": set(), "bad": set(), "torn": set()}
        for line in self._lines:
            verb, _, rest = line.partition(" ")
            if verb in said:
                said[verb].update(rest.split())
        words = result.stderr.strip()
        if result.exit_code != 0:
            words += f" exit code {result.exit_code}"
        torn = frozenset(int(number) for number in said["torn"] if number.isdecimal())
        return Taken(frozenset(said["ok"]), frozenset(said["bad"]), torn, words.strip())

    def _read_until(self, word: str) -> StoreState:
        while not any(line.partition(" ")[0] == word for line in self._lines):
            line = self._dialogue.read_line()
            if line is None:
                self._dialogue.finish().check(LOOKING, self._device.serial)
                break
            self._lines.append(line)
        return read_look(self._lines, self._files)


@contextmanager
def open_taker(
    device: Device, names: Sequence[str], files: Mapping[str, LocalFile], deadline: Deadline
) -> Iterator[Taker]:
    """Look for `names` (sha256, of `files`) and be ready to take files.

    Raises the errors of `Device.shell`, CommandFailed.
    """
    with device.transport(f"looking into the store of {device.serial}", deadline) as connection:
        connection.stall_s = ANSWER_S
        stream = ShellStream(connection, command_line(look_arguments(PUSH_SCRIPT, names)))
        yield Taker(device, Dialogue(stream), files)
