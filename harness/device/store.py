"""The content-addressed store on the device.

A file of sha256 S lies at `STORE_DIR/S` and nowhere else; runs use it through links, so
what one run sent no other run sends again. A name is given only after the device itself
has found the sha256 right. From then on size and modification time vouch for the
content: all files in the store carry one made-up time, `SEAL_S`, which any later write
would change. (Hashing a gigabyte on a phone at each run would take seconds.)

Beside it: `used/S`, an empty file whose modification time is S's last use (the blob's own
times are its seal, and Android mounts with noatime); and `unflushed/BOOT_ID/*`, lists of names
whose content the disk may not yet hold. After a crash those of another boot are removed, not
believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.device.deadline import Deadline
from harness.device.device import Device

ROOT_DIR = "/data/local/tmp/vlm-device-harness"
STORE_DIR = f"{ROOT_DIR}/store"
SEAL_S = 1_234_567_890
NAMES_PER_LOOK = 500  # 65 bytes each, in a command of at most 64 KiB
LOOKING = "looking into the store"

# Trimming: what nobody used for so long goes, and the longest unused while there is more than
# this or no room; what was looked for a moment ago stays, its run may be about to begin.
UNUSED_DAYS = 30
STORE_LIMIT_BYTES = 24 * 1024**3
RECENT_MINUTES = 10

# Arguments: store, days, then each S. Prints "S SIZE MTIME" for each S that is there. Ends there
# if all are. Otherwise a push may follow, or nothing was asked for: it prints "free KIBIBYTES",
# clears away what pushes abandoned a day ago, and prints "unused FILES", those that nobody used
# for so many days, and "stored KIBIBYTES". (The modification time of what half arrived says
# nothing, it is sealed already; its folder's change time does.)
LOOK_SCRIPT = """
[ -d "$1/../used" ] || mkdir -p "$1" "$1/../used"
cd "$1" || exit 1
days=$2; shift 2
read -r boot </proc/sys/kernel/random/boot_id
for folder in ../unflushed/*; do
  if [ "${folder##*/}" = "$boot" ] || ! [ -d "$folder" ]; then continue; fi
  for list in "$folder"/*; do
    if read -r names <"$list"; then rm -f $names; fi
  done
  rm -rf "$folder"
done
names=$*
use() { if [ -n "$names" ]; then (cd ../used && exec touch $names); fi; }
if [ -n "$names" ]; then
  wanted=$(($# * 3))
  found=$(stat -c '%n %s %Y' "$@" 2>/dev/null)
  echo "$found"
  set -- $found
  if [ $# -ge $wanted ]; then use; exit 0; fi
fi
line=$(df -kP .)
set -- ${line##*
}
echo "free $4"
use
unused=0
for file in $(find . ../used -maxdepth 1 \\( -name '*.part' -ctime +0 \\) -o \\
    \\( -path '../used/*' -mtime "+$days" \\)); do
  case $file in *.part) rm -rf "$file" ;; *) unused=$((unused + 1)) ;; esac
done
echo "unused $unused"
set -- $(du -sk .)
echo "stored $1"
"""

# Arguments: store, days, minutes, kibibytes that are to become free. Prints "freed KIBIBYTES".
# A file in use is one that a run links to. A run links first and looks afterwards whether the
# file is there; this puts a file aside first and looks afterwards whether it is linked. So
# whichever comes second sees the other: the run sends it again, or it is put back.
TRIM_SCRIPT = """
cd "$1" || exit 1
aside=trim-$$.part
linked() { find ../runs ../repeat -type l -exec readlink {} \\; 2>/dev/null; }
for sha in *; do
  if [ -f "$sha" ] && ! [ -e "../used/$sha" ]; then : >"../used/$sha"; fi
done
unused=$(find ../used -type f -mtime "+$2")
spared="$(find ../used -type f -mmin "-$3") $(linked)"
need=$4; freed=0
mkdir "$aside" || exit 1
for sha in $(ls -tr ../used); do
  case $spared in *"/$sha"*) continue ;; esac
  case $unused in *"/$sha"*) ;; *) if [ $freed -ge "$need" ]; then continue; fi ;; esac
  if ! [ -f "$sha" ]; then rm -f "../used/$sha"; continue; fi
  kib=$((($(stat -c %s "$sha") + 1023) / 1024))
  if mv "$sha" "$aside/"; then freed=$((freed + kib)); fi
done
spared=$(linked)
for file in "$aside"/*; do
  sha=${file##*/}
  case $spared in
    *"/$sha"*) freed=$((freed - ($(stat -c %s "$file") + 1023) / 1024)); mv "$file" . ;;
    *) rm -f "../used/$sha" ;;
  esac
done
rm -rf "$aside"
echo "freed $freed"
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
    # None: the device does not say, or all that was asked is there.
    free_bytes: int | None
    stored_bytes: int | None = None
    unused_files: int | None = None  # for UNUSED_DAYS

    def over_bytes(self, needed_bytes: int) -> int:
        """What has to go before `needed_bytes` more may come; not positive: nothing."""
        over_bytes = (self.stored_bytes or 0) + needed_bytes - STORE_LIMIT_BYTES
        if self.free_bytes is not None:
            over_bytes = max(over_bytes, needed_bytes - self.free_bytes)
        return over_bytes


def look_arguments(script: str, names: Sequence[str]) -> list[str]:
    """The command that runs LOOK_SCRIPT, or a script that begins with it."""
    return ["sh", "-c", script, "sh", STORE_DIR, str(UNUSED_DAYS), *names]


def read_look(lines: Iterable[str], files: Mapping[str, LocalFile]) -> StoreState:
    """What LOOK_SCRIPT, asked for names among `files`, printed."""
    present: set[str] = set()
    counts: dict[str, int] = {}
    for line in lines:
        name, _, rest = line.partition(" ")
        if name in ("free", "stored", "unused") and rest.isdecimal():
            counts[name] = int(rest)
        elif name in files and rest == f"{files[name].size_bytes} {SEAL_S}":
            present.add(name)
    return StoreState(
        frozenset(present),
        counts["free"] * 1024 if "free" in counts else None,
        counts["stored"] * 1024 if "stored" in counts else None,
        counts.get("unused"),
    )


def look_into_store(
    device: Device, files: Mapping[str, LocalFile], deadline: Deadline
) -> StoreState:
    """Which of at most NAMES_PER_LOOK `files` (by sha256) are there, and how much room is left.

    One command on the device, which also makes the store. Raises the errors of
    `Device.shell`, CommandFailed.
    """
    result = device.shell(look_arguments(LOOK_SCRIPT, list(files)), deadline)
    return read_look(result.check(LOOKING, device.serial).stdout.splitlines(), files)


def trim_store(device: Device, state: StoreState, needed_bytes: int, deadline: Deadline) -> int:
    """Remove what was not used for long, and more if `needed_bytes` want room; bytes freed.

    Nothing that a run uses, and nothing that was looked for within RECENT_MINUTES. Asks the
    device only if there may be something to remove. Raises the errors of `Device.shell`,
    CommandFailed.
    """
    over_bytes = state.over_bytes(needed_bytes)
    if over_bytes <= 0 and not state.unused_files:
        return 0
    argv = ["sh", "-c", TRIM_SCRIPT, "sh", STORE_DIR, str(UNUSED_DAYS), str(RECENT_MINUTES)]
    argv.append(str(max(0, over_bytes + 1023) // 1024))
    result = device.shell(argv, deadline).check("trimming the store", device.serial)
    freed = result.stdout.strip().removeprefix("freed ")
    return int(freed) * 1024 if freed.isdecimal() else 0
