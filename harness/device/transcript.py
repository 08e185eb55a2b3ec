"""What the run script said on its standard output, and when."""

from __future__ import annotations

import re
import time

from harness.device.shell import Frame, StreamTail

_NUMBER_BYTES = 32  # longer than any size and its blanks


class Transcript:
    """The frames of a run, taken apart by the lines of the run script.

    `runner_s` is measured by this computer's clock, between two of those lines.
    """

    def __init__(self, run_id: str) -> None:
        self._id = run_id.encode()
        self._stdout = StreamTail()
        self._stderr = StreamTail()
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._output: bytearray | None = None  # kept whole, unlike what is talk
        self._output_bytes = 0
        self.exit_code: int | None = None  # of the script; None before its end

    def append(self, frame_id: int, payload: bytes) -> None:
        if frame_id == Frame.STDERR:
            self._stderr.append(payload)
        elif frame_id == Frame.EXIT:
            self.exit_code = payload[0] if payload else -1
        elif frame_id == Frame.STDOUT and self._output is not None:
            self._output += payload
        elif frame_id == Frame.STDOUT:
            self._stdout.append(payload)
            self._note_time(len(payload))
            self._note_output(len(payload))

    def _note_output(self, new_bytes: int) -> None:
        mark = self._mark("output")
        if mark not in self._stdout.content[-(new_bytes + len(mark) + _NUMBER_BYTES) :]:
            return
        line = self._line("output")
        if line is not None:
            self._output_bytes = int(line[1] or 0)
            self._output = self._stdout.content[line.end() :]
            del self._stdout.content[line.end() :]

    def _note_time(self, new_bytes: int) -> None:
        if self._ended_at is not None:
            return
        end_mark = self._mark("end")
        news = self._stdout.content[-(new_bytes + len(end_mark)) :]
        if self._started_at is None and self._mark("start") in news:
            self._started_at = time.monotonic()
        if end_mark in news:
            self._ended_at = time.monotonic()

    def _mark(self, word: str) -> bytes:
        return self._id + b" " + word.encode()

    def _line(self, word: str) -> re.Match[bytes] | None:
        pattern = rb"(?:^|\n)" + re.escape(self._mark(word)) + rb"(?: ([^\n]*))?\n"
        return re.search(pattern, self._stdout.content)

    def _words(self, word: str) -> list[str]:
        line = self._line(word)
        return [] if line is None else (line[1] or b"").decode("utf-8", "replace").split()

    @property
    def missing_sha256(self) -> str | None:
        """The content that the store turned out not to have; nothing was run then."""
        return next(iter(self._words("missing")), None)

    @property
    def fate(self) -> str | None:
        """After a stop: "gone" or "alive", what became of the process group."""
        return next(iter(self._words("stopped")), None)

    @property
    def complete(self) -> bool:
        """Whether the script came to its own end and so has cleaned up."""
        return self.exit_code == 0

    @property
    def runner_exit_code(self) -> int | None:
        """128 + N after signal N; None if the runner's end was not seen."""
        words = self._words("end")
        return int(words[0]) if words else None

    @property
    def runner_s(self) -> float:
        if self._started_at is None or self._ended_at is None:
            return 0.0
        return self._ended_at - self._started_at

    @property
    def stdout(self) -> str:
        """The runner's own, as far as kept."""
        start, end = self._line("start"), self._line("end")
        first = 0 if start is None else start.end()
        last = len(self._stdout.content) if end is None else end.start()
        return self._stdout.content[first:last].decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self._stderr.text()

    @property
    def output(self) -> bytes | None:
        """What the runner wrote to logits.bin; None if there is none or not all of it came."""
        if self._output is None or len(self._output) != self._output_bytes:
            return None
        return bytes(self._output)

    @property
    def report_json(self) -> bytes | None:
        """The report; None if there is none or not all of it came."""
        report, whole = self._line("report"), self._line("whole")
        if report is None or whole is None:
            return None
        return bytes(self._stdout.content[report.end() : whole.start()])
