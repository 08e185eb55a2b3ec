"""What is known of each phone in this session: runs, troubles, health, quarantine.

One JSON file per phone, in the session's folder: workers of pytest-xdist share it. Only who
holds the phone's host lock writes it (`harness.bench.pool`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.bench.phones import Phone
from harness.cache import write_whole

FULL_HEALTH = 100
# Three troubles in a row are the end; a run in between earns half of one back.
TROUBLE_COSTS = 34
RUN_EARNS = 17


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong with a phone, and what was tried then."""

    kind: str  # the error's class
    problem: str
    recovery: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One phone's page."""

    health: int = FULL_HEALTH
    runs: int = 0
    troubles: tuple[Trouble, ...] = field(default=())
    needs_recovery: bool = False
    quarantine: str | None = None  # the reason

    def after_run(self) -> Record:
        """A run that came to its end."""
        return replace(self, runs=self.runs + 1, health=min(FULL_HEALTH, self.health + RUN_EARNS))

    def after_trouble(self, trouble: Trouble, *, hopeless: bool) -> Record:
        """A run that did not. `hopeless`: trying again would meet the same."""
        health = 0 if hopeless else max(0, self.health - TROUBLE_COSTS)
        troubles = (*self.troubles, trouble)
        reason = (
            trouble.problem if hopeless else f"{len(troubles)} troubles, last: {trouble.problem}"
        )
        return replace(
            self,
            health=health,
            troubles=troubles,
            needs_recovery=True,
            quarantine=reason.splitlines()[0] if health == 0 else None,
        )

    def after_recovery(self, steps: Iterable[str]) -> Record:
        """It answers again."""
        return replace(self, needs_recovery=False, troubles=_with_steps(self.troubles, steps))


def _with_steps(troubles: tuple[Trouble, ...], steps: Iterable[str]) -> tuple[Trouble, ...]:
    if not troubles:
        return ()
    return (*troubles[:-1], replace(troubles[-1], recovery=tuple(steps)))


class Ledger:
    """The pages of all phones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, phone: Phone) -> Record:
        """A phone's page; an empty one if nothing is known of it."""
        try:
            return _parse(json.loads(self._path(phone).read_text(encoding="utf-8"))[1])
        except (OSError, ValueError):
            return Record()

    def write(self, phone: Phone, record: Record) -> None:
        """Replace a phone's page. Only for who holds its host lock."""
        write_whole(self._path(phone), json.dumps([str(phone), asdict(record)]).encode())

    def all(self) -> dict[str, Record]:
        """Phone, as it is shown -> its page."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            name, page = json.loads(path.read_text(encoding="utf-8"))
            found[name] = _parse(page)
        return found

    def forget_quarantines(self) -> None:
        """Give every phone another chance, as a resumed session does."""
        for path in self._folder.glob("*.json"):
            name, page = json.loads(path.read_text(encoding="utf-8"))
            page |= {"health": FULL_HEALTH, "quarantine": None}
            write_whole(path, json.dumps([name, page]).encode())

    def _path(self, phone: Phone) -> Path:
        return self._folder / f"{phone_key(phone)}.json"


def phone_key(phone: Phone) -> str:
    """A file name for a phone."""
    return quote(f"{phone.host}:{phone.port}:{phone.serial}", safe=":@")[:200]


def _parse(page: dict[str, Any]) -> Record:
    troubles = [
        Trouble(item["kind"], item["problem"], tuple(item["recovery"])) for item in page["troubles"]
    ]
    return Record(**{**page, "troubles": tuple(troubles)})
