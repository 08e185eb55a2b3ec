"""What the device's own shell does for a push. Only what Android's mksh and toybox know.

One command looks into the store and, if something is missing, takes what is sent meanwhile
over a sync connection: a process for each step would cost a round trip and the time that a
phone takes to start one. It is told on its standard input what has arrived.
"""

from __future__ import annotations

from harness.device.store import LOOK_SCRIPT

# Arguments as of LOOK_SCRIPT, which comes first. Then lines on stdin:
#   TAG          what is sent arrives in TAG.part, each sending in a folder N of its own
#   pack N       N/pack is there, a tar of files that are named by their sha256
#   file N S     N/S will come; after that
#     more         some of it has come
#     all          all of it has
#   flush        name what is right so far, and begin to write it to the disk
#   end          the same, and nothing will follow
# Files are hashed as they arrive. Prints "ok S..." for those that were named, "bad S" for one
# that is not what its name says, "torn N" for a pack that is no tar.
#
# Files are flushed to the disk with nobody waiting: a list says what a crash would make doubtful
# (`store.py`). Toybox's `sync` takes no names, its `fsync` does; on Linux boards it is the other
# way round.
PUSH_SCRIPT = (
    LOOK_SCRIPT
    + """
read -r tag || exit 0
part=$tag.part; marks=../unflushed/$boot; right=; names=; batch=0
umask 022
# Notes which files of folder N are right. Arguments: N, the sha256 found, the file, and so on.
compare() {
  number=$1; shift
  while [ $# -gt 1 ]; do
    if [ "$1" = "$2" ]; then
      right="$right $number/$2"; names="$names $2"
    else
      rm -f "$part/$number/$2"; echo "bad $2"
    fi
    shift 2
  done
}
# Writes file $1 out while it grows.
follow() {
  blocks=0; word=
  while read -r word && [ "$word" = more ]; do
    have=$(stat -c %s "$1" 2>/dev/null) || have=0
    ready=$((have / 1048576 - blocks))
    if [ $ready -gt 0 ]; then
      dd if="$1" bs=1048576 skip=$blocks count=$ready 2>/dev/null
      blocks=$((blocks + ready))
    fi
  done
  if [ "$word" = all ]; then dd if="$1" bs=1048576 skip=$blocks 2>/dev/null; fi
}
name() {
  if [ -z "$names" ]; then return; fi
  [ -d "$marks" ] || mkdir -p "$marks" || return
  batch=$((batch + 1)); list=$marks/$tag.$batch
  echo $names >"$list" || return
  (cd "$part" && exec mv -f $right ..) || return
  echo "ok$names"
}
# Argument: a folder to remove, which comes first: such changes wait while others are flushed.
flush() {
  if [ -z "$names" ]; then return; fi
  setsid sh -c 'rm -rf "$1"; shift; { fsync "$@" || sync "$@"; } && rm -f "$0"' \\
    "$list" "./$1" $names </dev/null >/dev/null 2>&1 &
  right=; names=
}
while read -r word number sha; do
  case $word in
  pack)
    cd "$part/$number" || exit 1
    tar -xof pack || echo "torn $number"
    : >pack
    found=$(sha256sum [0-9a-f]*)
    cd ../..
    compare "$number" $found ;;
  file)
    found=$(follow "$part/$number/$sha" | sha256sum)
    compare "$number" "${found%% *}" "$sha" ;;
  flush) name && flush none ;;
  end) if [ -n "$names" ] && name; then flush "$part"; else rm -rf "./$part"; fi; exit 0 ;;
  esac
done
exit 1
"""
)
DROP_SCRIPT = 'cd "$1" && rm -rf "./$2.part"'
