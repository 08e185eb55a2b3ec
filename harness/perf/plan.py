"""How a phone is measured: for how long, and in which state. Specs say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.perf.sequential import MOST_SAMPLES


@dataclass(frozen=True)
class Plan:
    """Limits of a measurement, seconds."""

    cool_down_s: float = 45.0
    longest_pause_s: float = 240.0
    budget_s: float = 3600.0
    most_samples: int = MOST_SAMPLES


@dataclass(frozen=True)
class FitLimits:
    """What a phone must be like before each repeat. What it does not tell is not held
    against it."""

    max_skin_c: float = 38.0
    max_battery_c: float = 40.0
    max_thermal_status: int = 0
    min_battery_percent: int = 20
    charging: Literal["any", "yes", "no"] = "any"
    screen: Literal["any", "off"] = "off"
    min_free_memory_mib: float = 512.0
    max_load_per_core: float = 1.5
