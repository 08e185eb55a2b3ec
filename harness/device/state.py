"""All that decides whether a device may be measured, and its fixed-performance mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.fitness import READ_S, read_fitness
from harness.errors import DeviceError
from harness.perf.fitness import PhoneState

# Each part stands alone: what a device does not have leaves an empty line.
_SCRIPT = """
dumpsys power 2>/dev/null | grep -m 1 mWakefulness=; echo ==
grep -m 1 MemAvailable /proc/meminfo; echo ==
cat /proc/loadavg; echo ==; grep -c ^processor /proc/cpuinfo
"""
_FIXED_MODE = ("cmd", "power", "set-fixed-performance-mode-enabled")


def read_state(device: Device) -> PhoneState:
    """Ask a device how it is. Errors as of `Device.shell`."""
    fitness = read_fitness(device)
    told = device.shell(["sh", "-c", _SCRIPT], Deadline(READ_S)).stdout
    return PhoneState(
        battery_percent=fitness.battery_percent,
        battery_c=fitness.battery_c,
        powered=fitness.powered,
        thermal_status=fitness.thermal_status,
        skin_c=fitness.hottest_c,
        **parse_load(told),  # type: ignore[arg-type]
    )


def parse_load(text: str) -> dict[str, object]:
    """Screen, memory and load from the script's output; None for what is not there."""
    power, memory, load, cores = (*text.split("==\n"), "", "", "", "")[:4]
    awake = re.search(r"mWakefulness=(\w+)", power)
    free_kib = re.search(r"MemAvailable:\s+(\d+)", memory)
    runnable = re.match(r"(\d+\.\d+)", load)
    count = int(cores) if cores.strip().isdecimal() else 0
    return {
        "screen_on": awake[1] == "Awake" if awake else None,
        "free_memory_mib": int(free_kib[1]) / 1024 if free_kib else None,
        "load_per_core": float(runnable[1]) / count if runnable and count else None,
    }


@contextmanager
def fixed_performance(device: Device) -> Iterator[bool]:
    """Keep clocks at what the device can sustain, where it knows how; off again at the end.

    Gives whether it is on. PowerManager.isSustainedPerformanceModeSupported's stronger
    sibling, for benchmarks; a device without it answers with an error.
    """
    answered = device.shell([*_FIXED_MODE, "true"], Deadline(READ_S))
    on = answered.exit_code == 0 and "not supported" not in answered.stdout.lower()
    try:
        yield on
    finally:
        if on:
            with suppress(DeviceError):  # it is gone, and its mode with it
                device.shell([*_FIXED_MODE, "false"], Deadline(READ_S))
