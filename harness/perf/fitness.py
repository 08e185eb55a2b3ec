"""Whether a phone may be measured now."""

from __future__ import annotations

from dataclasses import dataclass

from harness.perf.plan import FitLimits


@dataclass(frozen=True)
class PhoneState:
    """What a phone says of itself; None where it does not say.

    `thermal_status` is Android's, 0 (none) to 6. `load_per_core` counts what runs or waits to
    run, over the last minute.
    """

    battery_percent: int | None = None
    battery_c: float | None = None
    powered: bool | None = None
    thermal_status: int | None = None
    skin_c: float | None = None
    screen_on: bool | None = None
    free_memory_mib: float | None = None
    load_per_core: float | None = None


def unfit_reasons(state: PhoneState, limits: FitLimits) -> list[str]:
    """Each limit that a phone does not keep, as "skin 43.1 C (at most 38)"."""
    above = (
        ("skin", state.skin_c, limits.max_skin_c, " C"),
        ("battery", state.battery_c, limits.max_battery_c, " C"),
        ("thermal status", state.thermal_status, limits.max_thermal_status, ""),
        ("load per core", state.load_per_core, limits.max_load_per_core, ""),
    )
    below = (
        ("battery", state.battery_percent, limits.min_battery_percent, " %"),
        ("free memory", state.free_memory_mib, limits.min_free_memory_mib, " MiB"),
    )
    reasons = [
        f"{name} {value:g}{unit} (at most {limit:g})"
        for name, value, limit, unit in above
        if value is not None and value > limit
    ]
    reasons += [
        f"{name} {value:g}{unit} (at least {limit:g})"
        for name, value, limit, unit in below
        if value is not None and value < limit
    ]
    if limits.screen == "off" and state.screen_on:
        reasons.append("screen on (must be off)")
    if limits.charging != "any" and state.powered not in (None, limits.charging == "yes"):
        reasons.append("charging" if state.powered else "not charging")
    return reasons


def is_throttled(*states: PhoneState) -> bool:
    """Whether the phone said before or after a run that heat slows it."""
    return any(state.thermal_status for state in states)
