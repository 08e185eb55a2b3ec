"""The Android side of the phone: tools that a PC lacks, and the figures they show.

`install_system` fills `/system/bin` with small shell scripts, first on the PATH of every
command; `write_vitals` renders what changes (uptime, battery, heat, free space) into the
files those scripts print.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.virtual_phone.profile import PhoneProfile

# @ROOT@ is the phone's root on the host, of characters that are safe in a shell.
_TOOLS = {
    "getprop": """\
if [ $# -eq 0 ]; then cat @ROOT@/system/etc/getprop.txt; exit 0; fi
while IFS= read -r line; do
  case "$line" in "$1="*) printf '%s\\n' "${line#*=}"; exit 0 ;; esac
done < @ROOT@/system/etc/build.prop
printf '%s\\n' "${2:-}"
""",
    "setprop": """\
echo "Failed to set property '$1' to '$2'." >&2
exit 1
""",
    "dumpsys": """\
case "$1" in
  battery|thermalservice) cat "@ROOT@/system/etc/$1.txt" ;;
  power) echo "  mWakefulness=Asleep" ;;
  *) echo "Can't find service: $1" >&2 ;;
esac
""",
    "df": """\
read -r total used free < @ROOT@/system/etc/df.txt
unit=1K-blocks
for word in "$@"; do
  case "$word" in -*h*)
    unit=Size total=$((total / 1048576))G used=$((used / 1048576))G free=$((free / 1048576))G ;;
  esac
done
echo "Filesystem $unit Used Available Use% Mounted on"
[ "$unit" = Size ] && percent=0 || percent=$((total > 0 ? (total - free) * 100 / total : 100))
echo "/dev/block/dm-48 $total $used $free $percent% /data"
""",
    "settings": """\
store=@ROOT@/data/system/settings
mkdir -p "$store/$2" 2>/dev/null
case "$1" in
  get) cat "$store/$2/$3" 2>/dev/null || echo null ;;
  put) printf '%s\\n' "$4" > "$store/$2/$3" ;;
  delete) rm -f "$store/$2/$3" && echo "Deleted 1 rows" ;;
  *) echo "Invalid command: $1" >&2; exit 255 ;;
esac
""",
    # SELinux denies hard links to adb's shell user.
    "ln": """\
for word in "$@"; do
  case "$word" in --symbolic|-s*|-[!-]*s*) exec /bin/ln "$@" ;; esac
done
echo "ln: cannot create hard link: Permission denied" >&2
exit 1
""",
    "svc": "exit 0\n",
    "cmd": """\
case "$1" in
  power|thermalservice|battery) exit 0 ;;
  *) echo "cmd: Can't find service: $1" >&2; exit 20 ;;
esac
""",
    "logcat": 'echo "--------- beginning of main"\n',
    "su": "echo '/system/bin/sh: su: inaccessible or not found' >&2\nexit 127\n",
}


def install_system(root_dir: Path, shell_root: str, properties: Mapping[str, str]) -> None:
    """Make `/system` and `/sys` anew: tools and properties.

    Args:
        root_dir: the phone's root.
        shell_root: the same folder as commands name it.
        properties: all that `getprop` answers.
    """
    for name in ("system", "sys", "proc"):
        shutil.rmtree(root_dir / name, ignore_errors=True)
    bin_dir, etc_dir = root_dir / "system/bin", root_dir / "system/etc"
    bin_dir.mkdir(parents=True)
    etc_dir.mkdir()
    (bin_dir / "sh").symlink_to("/bin/sh")
    for name, body in _TOOLS.items():
        tool = bin_dir / name
        tool.write_text("#!/bin/sh\n" + body.replace("@ROOT@", shell_root), encoding="utf-8")
        tool.chmod(0o755)
    ordered = sorted(properties.items())
    _write(etc_dir / "build.prop", "".join(f"{name}={value}\n" for name, value in ordered))
    _write(etc_dir / "getprop.txt", "".join(f"[{name}]: [{value}]\n" for name, value in ordered))


def install_wrong_clock(root_dir: Path, off_by_s: int) -> None:
    """Let `date` tell a time that is `off_by_s` seconds later than this computer's."""
    tool = root_dir / "system/bin/date"
    now = f'"@$(($(/bin/date +%s) + {off_by_s}))"'
    tool.write_text(
        f'#!/bin/sh\ncase "$1" in -d) exec /bin/date "$@" ;; esac\nexec /bin/date -d {now} "$@"\n',
        encoding="utf-8",
    )
    tool.chmod(0o755)


def install_identity(root_dir: Path, profile: PhoneProfile, boot_id: str) -> None:
    """Write what the kernel of this phone says of itself and of this boot."""
    soc_dir = root_dir / "sys/devices/soc0"
    soc_dir.mkdir(parents=True, exist_ok=True)
    _write(soc_dir / "soc_id", f"{profile.soc_id}\n")
    _write(soc_dir / "machine", f"{profile.soc}\n")
    random_dir = root_dir / "proc/sys/kernel/random"
    random_dir.mkdir(parents=True, exist_ok=True)
    _write(random_dir / "boot_id", f"{boot_id}\n")
    _write(root_dir / "proc/loadavg", "0.40 0.35 0.30 1/900 12345\n")
    _write(root_dir / "proc/meminfo", "MemTotal: 11800000 kB\nMemAvailable: 6800000 kB\n")


@dataclass(frozen=True)
class Vitals:
    """What changes while the phone runs."""

    uptime_s: float
    heating_c: float  # above the profile's temperatures
    used_bytes: int
    free_bytes: int


VITALS_WORDS = ("uptime", "dumpsys", "df")


def write_vitals(
    root_dir: Path, profile: PhoneProfile, vitals: Vitals, words: Collection[str] = VITALS_WORDS
) -> None:
    """Render the vitals into the files that commands with these words read."""
    etc_dir = root_dir / "system/etc"
    if "uptime" in words:
        _write(root_dir / "proc/uptime", f"{vitals.uptime_s:.2f} {vitals.uptime_s:.2f}\n")
    if "df" in words:
        kib = (profile.disk_bytes // 1024, vitals.used_bytes // 1024, vitals.free_bytes // 1024)
        _write(etc_dir / "df.txt", " ".join(map(str, kib)) + "\n")
    if "dumpsys" in words:
        _write(etc_dir / "battery.txt", _battery_text(profile, vitals.heating_c))
        _write(etc_dir / "thermalservice.txt", _thermal_text(profile, vitals.heating_c))


def _battery_text(profile: PhoneProfile, heating_c: float) -> str:
    battery = profile.battery
    charging = 2 if battery.powered else 3  # BatteryManager: charging, discharging
    return f"""Current Battery Service state:
  AC powered: false
  USB powered: {str(battery.powered).lower()}
  Wireless powered: false
  Max charging current: 500000
  status: {charging}
  health: 2
  present: true
  level: {battery.level_percent}
  scale: 100
  voltage: 4180
  temperature: {round((battery.temperature_c + heating_c) * 10)}
  technology: Li-ion
"""


def _thermal_text(profile: PhoneProfile, heating_c: float) -> str:
    thermal = profile.thermal
    # Skin temperatures at which Android raises the status by one, 1 (light) to 6 (shutdown).
    steps = (40, 43, 46, 50, 55, 60)
    skin_c, cpu_c = thermal.skin_c + heating_c, thermal.cpu_c + heating_c
    status = max(thermal.status, sum(skin_c >= step for step in steps) if heating_c else 0)
    skin = f"Temperature{{mValue={skin_c:.1f}, mType=3, mName=skin, mStatus={status}}}"
    cpu = f"Temperature{{mValue={cpu_c:.1f}, mType=0, mName=CPU0, mStatus=0}}"
    return f"""IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
\t{cpu}
\t{skin}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\t{cpu}
\t{skin}
Current cooling devices from HAL:
Temperature static thresholds from HAL:
"""


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: a command may be reading it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
