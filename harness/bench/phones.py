"""Which phones there are, and which of them is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from harness.device import Fitness
from harness.device.server import DEFAULT_HOST, DEFAULT_PORT


@dataclass(frozen=True)
class Phone:
    """A phone of the bench, there or not. `soc` None: nobody has said."""

    serial: str
    host: str = DEFAULT_HOST  # of its adb server
    port: int = DEFAULT_PORT
    soc: str | None = None
    labels: frozenset[str] = frozenset()

    def __str__(self) -> str:
        local = (self.host, self.port) == (DEFAULT_HOST, DEFAULT_PORT)
        return self.serial if local else f"{self.serial} at {self.host}:{self.port}"

    @property
    def is_tcp(self) -> bool:
        """Whether adb reaches it by HOST:PORT, and so can be told to connect anew."""
        host, colon, port = self.serial.rpartition(":")
        return bool(host and colon and port.isdecimal())


@dataclass(frozen=True)
class Limits:
    """What a phone must be like to be given work. A phone that does not say is taken."""

    min_free_bytes: int = 0
    min_battery_percent: int = 0
    max_battery_c: float | None = None

    def why_unfit(self, fitness: Fitness) -> str | None:
        """What is wrong with a phone of that state, with both numbers; None: it is fit."""
        if fitness.free_bytes is not None and fitness.free_bytes < self.min_free_bytes:
            free, least = fitness.free_bytes / 1e6, self.min_free_bytes / 1e6
            return f"{free:.0f} MB are free, {least:.0f} MB are wanted"
        percent = fitness.battery_percent
        if percent is not None and percent < self.min_battery_percent:
            return f"its battery is at {percent} %, {self.min_battery_percent} % are wanted"
        heat = fitness.battery_c
        if heat is not None and self.max_battery_c is not None and heat > self.max_battery_c:
            return (
                f"its battery has {heat:.1f} degrees C, at most {self.max_battery_c:g} are wanted"
            )
        return None

    @property
    def any(self) -> bool:
        """Whether there is anything to look at."""
        return self != Limits()


@dataclass(frozen=True)
class Wish:
    """Which phone will do: of this SoC, one of these serials, with all these labels."""

    soc: str | None = None
    serials: frozenset[str] = frozenset()  # none: any
    labels: frozenset[str] = frozenset()
    limits: Limits = Limits()

    def allows(self, phone: Phone) -> bool:
        """Whether `phone` will do, as far as is known without asking it."""
        return (
            (not self.serials or phone.serial in self.serials)
            and self.labels <= phone.labels
            and (self.soc is None or phone.soc in (None, self.soc))
        )

    def __str__(self) -> str:
        words = [self.soc or "any SoC"]
        words += [f"serial {' or '.join(sorted(self.serials))}"] if self.serials else []
        words += [f"label {label}" for label in sorted(self.labels)]
        return ", ".join(words)
