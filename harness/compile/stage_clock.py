"""Passes stages on and keeps how long each took. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable


class StageClock:
    """Call it with a stage's name when the stage begins; the first is the one before any call."""

    def __init__(self, tell: Callable[[str], None], first: str) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self._stage = first
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: str) -> None:
        self._note()
        self._stage = stage
        self._tell(stage)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, in order, the current one until now."""
        self._note()
        return {stage: round(seconds, 1) for stage, seconds in self._seconds.items()}

    def _note(self) -> None:
        now = time.monotonic()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._began
        self._began = now
