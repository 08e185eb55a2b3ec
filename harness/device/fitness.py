"""How a device is: heat, battery, room, uptime. One command, some 50 ms over a cable."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.device.deadline import Deadline
from harness.device.device import Device

READ_S = 15.0
# dumpsys of a service takes long on a phone that has just booted; each part stands alone.
FITNESS_SCRIPT = """
dumpsys battery; echo ==; dumpsys thermalservice; echo ==
df -kP "$1" | tail -n 1; echo ==; cat /proc/uptime; cat /proc/sys/kernel/random/boot_id
"""
DATA_DIR = "/data/local/tmp"


@dataclass(frozen=True)
class Fitness:
    """What a device says of its state now. None: it does not say."""

    battery_percent: int | None
    battery_c: float | None
    powered: bool | None
    thermal_status: int | None  # Android's: 0 none, 1 light, ... 6 shutdown
    temperatures_c: dict[str, float]  # name of a sensor -> degrees ("skin", "CPU0")
    free_bytes: int | None
    uptime_s: float | None
    boot_id: str

    @property
    def hottest_c(self) -> float | None:
        """The skin's temperature, or the battery's where the skin's is not told."""
        skin = [value for name, value in self.temperatures_c.items() if "skin" in name.lower()]
        return max(skin) if skin else self.battery_c


def read_fitness(device: Device, deadline: Deadline | None = None) -> Fitness:
    """Ask a device how it is. Errors as of `Device.shell`."""
    argv = ["sh", "-c", FITNESS_SCRIPT, "sh", DATA_DIR]
    return parse_fitness(device.shell(argv, deadline or Deadline(READ_S)).stdout)


def parse_fitness(text: str) -> Fitness:
    """The output of FITNESS_SCRIPT; what is not there or not a number is None."""
    battery, thermal, disk, kernel = (*text.split("==\n"), "", "", "", "")[:4]
    tenths = _number(battery, r"^\s*temperature: (-?\d+)")
    powered = re.findall(r"powered: (true|false)", battery)
    status = _number(thermal, r"Thermal Status: (\d+)")
    free_kib = disk.split()[3:4]
    uptime, _, boot_id = kernel.partition("\n")
    return Fitness(
        battery_percent=_number(battery, r"^\s*level: (\d+)"),
        battery_c=None if tenths is None else tenths / 10,
        powered="true" in powered if powered else None,
        thermal_status=status,
        temperatures_c=_temperatures(thermal),
        free_bytes=int(free_kib[0]) * 1024 if free_kib and free_kib[0].isdecimal() else None,
        uptime_s=_uptime(uptime),
        boot_id=boot_id.strip(),
    )


def _number(text: str, pattern: str) -> int | None:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None


def _temperatures(text: str) -> dict[str, float]:
    """Those the HAL gives now; the cached ones where it gives none."""
    _, _, current = text.partition("Current temperatures from HAL:")
    found: dict[str, float] = {}
    for reading in re.findall(r"Temperature\{([^}]*)\}", current or text):
        fields = dict(part.split("=", 1) for part in reading.split(", ") if "=" in part)
        try:
            found[fields["mName"]] = float(fields["mValue"])
        except (KeyError, ValueError):
            continue
    return found


def _uptime(text: str) -> float | None:
    try:
        return float(text.split()[0])
    except (IndexError, ValueError):
        return None
