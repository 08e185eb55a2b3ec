"""Large components wait for each other, small ones never."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest

from harness.compile.memory import BYTES_PER_LARGE, LARGE_PARAMETERS, memory_for

WAIT_S = 30.0


class _Lowering(Thread):
    """Holds its memory until it is told to end."""

    def __init__(self, folder: Path, parameters: int, machine_bytes: int) -> None:
        super().__init__(daemon=True)
        self.args = (parameters, folder, self.tell, machine_bytes)
        self.waiting, self.begun, self.end = Event(), Event(), Event()

    def tell(self, stage: str) -> None:
        assert stage == "waiting for memory"
        self.waiting.set()

    def run(self) -> None:
        with memory_for(*self.args):
            self.begun.set()
            self.end.wait(WAIT_S)


@pytest.mark.parametrize("places", [1, 2])
def test_large_ones_take_turns(tmp_path: Path, places: int) -> None:
    parts = [
        _Lowering(tmp_path, LARGE_PARAMETERS, places * BYTES_PER_LARGE) for _ in range(places + 1)
    ]
    for part in parts[:-1]:
        part.start()
        assert part.begun.wait(WAIT_S)
    last = parts[-1]
    last.start()
    assert last.waiting.wait(WAIT_S)
    assert not last.begun.is_set()
    parts[0].end.set()
    assert last.begun.wait(WAIT_S)
    for part in parts:
        part.end.set()
        part.join(WAIT_S)


def test_one_goes_on_where_even_one_is_too_much(tmp_path: Path) -> None:
    part = _Lowering(tmp_path, LARGE_PARAMETERS, BYTES_PER_LARGE // 4)
    part.start()
    assert part.begun.wait(WAIT_S)
    part.end.set()
    assert not part.waiting.is_set()


def test_small_ones_never_wait(tmp_path: Path) -> None:
    with memory_for(LARGE_PARAMETERS, tmp_path, pytest.fail, BYTES_PER_LARGE):
        small = _Lowering(tmp_path, LARGE_PARAMETERS - 1, BYTES_PER_LARGE)
        small.start()
        assert small.begun.wait(WAIT_S)
        small.end.set()
        assert not small.waiting.is_set()
