"""One overall time limit, handed down through every step of an operation."""

from __future__ import annotations

import time

from harness.errors import DeadlineExceeded


class Deadline:
    """A point in monotonic time, `seconds` from now.

    Handed down unchanged, so that ten reads of a slow phone share one limit instead of
    having ten.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining() == 0.0

    def check(self, doing: str, serial: str | None = None) -> None:
        """Raise DeadlineExceeded, told of `doing`, if the time is up."""
        if self.expired:
            raise self.exceeded(doing, serial)

    def exceeded(self, doing: str, serial: str | None = None) -> DeadlineExceeded:
        """The error to raise when this deadline was missed."""
        where = f" on {serial}" if serial else ""
        error = DeadlineExceeded(doing, f"not finished{where} after {self.seconds:g} s")
        error.serial = serial
        error.timeout_s = self.seconds
        return error
