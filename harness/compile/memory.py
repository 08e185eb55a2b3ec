"""Keeps components that need gigabytes from being lowered side by side. Needs no torch.

While one is lowered the memory holds its graphs at several stages, and the HTP compiler's own
copy: 11.4 GB for a vision encoder of 307 million parameters whose float model was held, too, when
the kernel ended it because the decoder beside it had as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

LARGE_PARAMETERS = 100_000_000
BYTES_PER_LARGE = 16_000_000_000
"""Of memory; a machine with twice that lowers two at a time."""
_POLL_S = 0.5


@contextmanager
def memory_for(
    parameters: int, folder: Path, tell: Callable[[str], None], machine_bytes: int | None = None
) -> Iterator[None]:
    """Wait until there is room for a component of so many parameters; small ones never wait.

    Args:
        folder: for lock files, the same for all processes that share the memory.
        tell: told "waiting for memory" before a wait.
        machine_bytes: of memory; None for this machine's.
    """
    if parameters < LARGE_PARAMETERS:
        yield
        return
    total_bytes = machine_bytes or psutil.virtual_memory().total
    places = [
        FileLock(folder / f"large-{number}.lock")
        for number in range(max(1, total_bytes // BYTES_PER_LARGE))
    ]
    place = _first_free(places, 0) or _wait(places, tell)
    try:
        yield
    finally:
        place.release()


def _wait(places: list[FileLock], tell: Callable[[str], None]) -> FileLock:
    tell("waiting for memory")
    while (place := _first_free(places, _POLL_S)) is None:
        pass
    return place


def _first_free(places: list[FileLock], timeout_s: float) -> FileLock | None:
    for place in places:
        try:
            place.acquire(timeout=timeout_s)
        except Timeout:
            continue
        return place
    return None
