"""What the device's own shell does for a lease. Only what Android's mksh and toybox know.

A lease is a folder `lease/N`, made by one atomic `mkdir`; the highest N counts. It holds
`holder` ("TOKEN BOOT_ID EXPIRES TTL WHO", times in whole seconds of the device's uptime) or,
when it was given back, `free`. Numbers only grow, and the highest is never removed, so two
takers of one expired lease want the same new number and one of them gets it.

A taker looks at the lease it means to take over once more after its `mkdir`, and a holder
that renews looks for a higher number once more after its write: whichever comes second sees
the other, so a live holder that was late by a moment and its successor never both go on.

A lease of an earlier boot is held for one more TTL of this boot: its holder may live and
want its phone back. A folder without either file is of a taker that died on the way, or is
about to write: whoever sees it first notes the time, and it is free one TTL later. So is one
whose words are none of ours.
"""

from __future__ import annotations

from harness.device.run_script import FUNCTIONS

# Arguments: root, operation, token, TTL in seconds, who; for renew and release the number.
# Says one line:
#   take:    "taken N" | "taken N dead TOKEN" | "busy LEFT_S WHO"
#   renew:   "renewed" | "lost"
#   release: "released" | "lost"
LEASE_SCRIPT = (
    FUNCTIONS
    + r"""
root=$1; operation=$2; token=$3; ttl=$4; who=$5; number=$6
mkdir -p "$root/lease" && cd "$root/lease" || exit 1
read -r up rest </proc/uptime; now=${up%%.*}
read -r boot </proc/sys/kernel/random/boot_id

whole() { case $1 in ''|*[!0-9]*) return 1 ;; esac; }
find_highest() {
  top=0
  for name in *; do
    if whole "$name" && [ "$name" -gt "$top" ]; then top=$name; fi
  done
}
# left: seconds that lease $1 is still held for; its holder's words in h_*.
look() {
  left=0; h_token=; h_who=nobody
  if [ "$1" -eq 0 ] || [ -e "$1/free" ]; then return 0; fi
  h_until=
  read -r h_token h_boot h_until h_ttl h_who <"$1/holder"
  if ! whole "$h_until" || ! whole "$h_ttl"; then
    h_token=; h_who="somebody who has just come"
    if ! [ -s "$1/seen" ]; then echo "$boot $((now + ttl)) $ttl" >"$1/seen"; fi
    read -r h_boot h_until h_ttl <"$1/seen"
  fi 2>/dev/null
  whole "$h_until" || h_until=$((now + ttl))
  whole "$h_ttl" || h_ttl=$ttl
  if [ "$h_boot" = "$boot" ]; then left=$((h_until - now)); else left=$((h_ttl - now)); fi
  if [ $left -lt 0 ]; then left=0; fi
}
write_holder() {
  echo "$token $boot $((now + ttl)) $ttl $who" >"$1/holder.$token" &&
    mv -f "$1/holder.$token" "$1/holder"
}
# What a holder left on the phone: processes, run folders, half-pushed files. A link that broke
# may have kept it from cleaning up itself.
sweep_after() {
  case $1 in *[!A-Za-z0-9-]*|'') return 0 ;; esac
  for folder in "$root/runs/$1"-*; do
    if ! [ -d "$folder" ]; then continue; fi
    group=; id=${folder##*/}
    if [ -s "$folder/.group" ]; then read -r group <"$folder/.group"; fi
    end_run
  done
  rm -rf "$root/store/$1-"*.part
  cd "$root/lease"
}

case $operation in
take)
  find_highest; old=$top; look "$old"
  if [ $left -gt 0 ]; then echo "busy $left $h_who"; exit 0; fi
  number=$((old + 1))
  if ! mkdir "$number" 2>/dev/null; then
    if [ -d "$number" ]; then echo "busy 1 somebody who has just come"; exit 0; fi
    mkdir "$number"; exit 1
  fi
  find_highest; look "$old"
  if [ "$top" != "$number" ] || [ $left -gt 0 ]; then
    rmdir "$number"; echo "busy $left $h_who"; exit 0
  fi
  if ! write_holder "$number"; then rm -rf "./$number"; exit 1; fi
  if [ -n "$h_token" ]; then
    sweep_after "$h_token"; echo "taken $number dead $h_token"
  else
    echo "taken $number"
  fi
  for name in *; do
    if whole "$name" && [ "$name" -lt "$number" ]; then rm -rf "./$name"; fi
  done ;;
renew)
  find_highest; look "$number"
  if [ "$top" != "$number" ] || [ "$h_token" != "$token" ]; then echo lost; exit 0; fi
  write_holder "$number" || exit 1
  find_highest
  if [ "$top" = "$number" ]; then echo renewed; else echo lost; fi ;;
release)
  find_highest; look "$number"
  if [ "$top" != "$number" ] || [ "$h_token" != "$token" ]; then echo lost; exit 0; fi
  sweep_after "$token"
  : >"$number/free" && rm -f "$number/holder" && echo released ;;
esac
"""
)
