"""The content-addressed store on the device.

A file of sha256 S lies at `STORE_DIR/S` and nowhere else; runs use it through links, so
what one run sent no other run sends again. A name is given only after the device itself
has found the sha256 right. From then on size and modification time vouch for the
content: all files in the store carry one made-up time, `SEAL_S`, which any later write
would change. (Hashing a gigabyte on a phone at each run would take seconds.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.device.deadline import Deadline
from harness.device.device import Device

ROOT_DIR = "/data/local/tmp/vlm-device-harness"
STORE_DIR = f"{ROOT_DIR}/store"
SEAL_S = 1_234_567_890
NAMES_PER_LOOK = 500  # 65 bytes each, in a command of at most 64 KiB

# Prints "S SIZE MTIME" for each S that is there. Only if one is absent, or none was asked
# for, a push may follow: then it clears away what pushes abandoned a day ago and prints
# "free KIBIBYTES". (A .part file's modification time says nothing, it is sealed already;
# its change time does.)
LOOK_SCRIPT = """
mkdir -p "$1" && cd "$1" || exit 1
shift
wanted=$(($# * 3))
if [ $# -gt 0 ]; then
  found=$(stat -c '%n %s %Y' "$@" 2>/dev/null)
  echo "$found"
  set -- $found
fi
if [ $# -eq 0 ] || [ $# -lt $wanted ]; then
  find . -name '*.part' -ctime +0 -exec rm -f {} + 2>/dev/null
  set -- $(df -kP . | tail -n 1)
  echo "free $4"
fi
"""


@dataclass(frozen=True)
class LocalFile:
    """A file to bring to the device. Every file arrives executable."""

    path: Path
    sha256: str  # 64 lower-case hex digits
    size_bytes: int


@dataclass(frozen=True)
class StoreState:
    """What a look into the store found."""

    present: frozenset[str]  # sha256 of the files asked for that are there, whole and sealed
    free_bytes: int | None  # None: the device does not say, or all that was asked is there


def look_into_store(
    device: Device, files: Mapping[str, LocalFile], deadline: Deadline
) -> StoreState:
    """Which of `files` (by sha256) are there, and how much room is left.

    One command on the device (one per 500 files), which also makes the store; one more
    if a file is there but damaged. Raises the errors of `Device.shell`, CommandFailed.
    """
    names = list(files)
    present: set[str] = set()
    free_bytes = None
    for start in range(0, max(1, len(names)), NAMES_PER_LOOK):
        argv = ["sh", "-c", LOOK_SCRIPT, "sh", STORE_DIR, *names[start : start + NAMES_PER_LOOK]]
        result = device.shell(argv, deadline).check("looking into the store", device.serial)
        for line in result.stdout.splitlines():
            name, _, rest = line.partition(" ")
            if name == "free":
                free_bytes = int(rest) * 1024 if rest.isdecimal() else None
            elif name in files and rest == f"{files[name].size_bytes} {SEAL_S}":
                present.add(name)
    if len(present) < len(names) and free_bytes is None:
        free_bytes = look_into_store(device, {}, deadline).free_bytes
    return StoreState(frozenset(present), free_bytes)
