"""What the device's own shell does for a run.

Only what Android's mksh and toybox know. One command does it all, because each command
costs a round trip: make the run folder, run, hand back the report, clean up.

The script's standard input is a life line: first comes the list of links, an empty line
and the request, then it stays open. When it ends (the host says stop, dies, or the link
breaks; adbd also sends SIGHUP then) the runner's process group is killed and the folder
removed, with nobody else to see to it. The watcher of that line, `guard`, is itself ended
by SIGKILL: a shell just forked can lose a SIGTERM, and a watcher left over would keep the
connection open.
"""

from __future__ import annotations

# `living`: is a process of $group left that is not a zombie? (Who adopts those is not
# ours to choose.) `end_run`: kill the group and remove the folder; in between up to 2 s
# of waiting for what sits in a driver call.
FUNCTIONS = r"""
living() {
  kill -s 0 -- "-$group" 2>/dev/null || return 1
  for stat in /proc/[0-9]*/stat; do
    { read -r line <"$stat"; } 2>/dev/null || continue
    set -- ${line##*) }
    if [ "$3" = "$group" ] && [ "$1" != Z ] && [ "$1" != X ]; then return 0; fi
  done
  return 1
}
end_run() {
  fate=gone
  if [ -n "$group" ]; then
    # Before any question: a shell whose kill takes no signal 0 would find nobody living.
    kill -s KILL -- "-$group" 2>/dev/null
    tries=0
    while living; do
      kill -s KILL -- "-$group" 2>/dev/null
      tries=$((tries + 1))
      if [ $tries -gt 40 ]; then fate=alive; break; fi
      if [ $tries -gt 1 ]; then sleep 0.05; fi
    done
  fi
  cd "$root" && rm -rf "runs/$id"
}
"""

# Arguments: root, run id, size of the request in bytes, then the runner's own.
# Says on stdout, each on a line of its own that begins with the run id:
#   "missing S"            the store has no S: nothing was run
#   "start"                before the runner's output
#   "end CODE"             after it
#   "report"               if there is one: it follows
#   "whole"                after the report
#   "output BYTES"         if the runner wrote logits.bin: that many bytes of it follow
#   "stopped gone|alive"   if it was told to stop: what became of the process group
RUN_SCRIPT = (
    FUNCTIONS
    + r"""
root=$1; id=$2; request_bytes=$3; shift 3
group=; child=; guard=; stopped=; store=$root/store
finish() {
  trap '' HUP INT TERM PIPE
  if [ -n "$guard" ]; then kill -s KILL "$guard" 2>/dev/null; fi
  if [ -n "$child" ]; then
    if ! [ -s .group ]; then sleep 0.1; fi
    read -r group <.group || group=$child
  fi
  end_run
  if [ -n "$stopped" ]; then printf '\n%s stopped %s\n' "$id" "$fate" 2>/dev/null; fi
}
trap finish EXIT
trap 'stopped=1; exit 143' HUP INT TERM PIPE
mkdir -p "$root/runs/$id" && cd "$root/runs/$id" || exit 125
while read -r sha name && [ -n "$sha" ]; do
  case $name in */*) mkdir -p "./${name%/*}" ;; esac
  ln -s "$store/$sha" "./$name" || exit 125
  # After the link, which is what keeps it from being trimmed.
  if ! [ -f "./$name" ]; then printf '%s missing %s\n' "$id" "$sha"; exit 0; fi
done
head -c "$request_bytes" >request.json || exit 125
exec 3<&0
printf '%s start\n' "$id"
setsid -w sh -c 'echo $$ >.group; exec "$@"' sh "$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -s TERM $$; } >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait "$child"
code=$?
printf '\n%s end %s\n' "$id" "$code"
if [ -f report.json ]; then
  printf '%s report\n' "$id"
  cat report.json
  printf '\n%s whole\n' "$id"
fi
if [ -f logits.bin ]; then
  printf '%s output %s\n' "$id" "$(wc -c <logits.bin)"
  cat logits.bin
fi
exit 0
"""
)

# Arguments: root, run id. For a run whose own script no longer answers.
SWEEP_SCRIPT = (
    FUNCTIONS
    + r"""
root=$1; id=$2; group=
cd "$root/runs/$id" 2>/dev/null || { echo gone; exit 0; }
if [ -s .group ]; then read -r group <.group; fi
end_run
echo "$fate"
"""
)
