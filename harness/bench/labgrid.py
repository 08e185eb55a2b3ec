"""A phone that labgrid's coordinator hands out, through `labgrid-client` as a process.

labgrid knows no adb resource: a place says in its tags which phone it is, `serial=SERIAL`, and
behind which adb server, `adb=HOST:PORT`, if not the one that the session would use anyway. Its
places never expire, so the lease on the phone itself is taken for each run all the same.

The client finds the coordinator as it always does: by $LG_COORDINATOR, else 127.0.0.1:20408.
(Written against labgrid 26.0; its Python session is built around its own command line.)
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DeviceBusy, DeviceError, InputError

CLIENT = "labgrid-client"
CLIENT_S = 30.0
NOBODY = "None"  # as the client writes it
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+):(\d{1,5})")


@dataclass(frozen=True)
class PlaceFacts:
    """What the client shows of a place."""

    name: str  # in full; what was asked for may be a pattern or an alias
    tags: dict[str, str]
    holder: str | None  # "host/user"


@dataclass(frozen=True)
class HeldPlace:
    """A place that is ours until `release`."""

    name: str
    holder: str  # we, as the coordinator knows us
    serial: str
    adb_host: str | None = None  # None: the tags do not say
    adb_port: int | None = None

    def release(self) -> None:
        """Give it back, unless somebody else has it by now.

        Raises DeviceError when the coordinator does not take it.
        """
        _ask(self.name, "release-from", self.holder)


def acquire_place(name: str) -> HeldPlace:
    """Acquire the place `name` and read which phone it is.

    Raises InputError: no labgrid-client, no such place, or its tags do not name a phone.
    DeviceBusy (with `holder`): somebody has it, which may be another session of ours.
    DeviceError: the coordinator does not answer, or refuses.
    """
    facts = show_place(name)
    serial, host, port = _phone_of(facts)
    if facts.holder is not None:
        raise _busy(facts)
    try:
        _ask(facts.name, "acquire")
        holder = show_place(facts.name).holder
    except BaseException:  # Ctrl-C, too: nobody held it a moment ago, so it can only be ours
        with suppress(DeviceError, InputError):
            held = show_place(facts.name).holder
            if held is not None and held == own_name():
                _ask(facts.name, "release-from", held)
        raise
    if holder is None:
        raise DeviceError(
            f"acquiring the labgrid place {facts.name}",
            "it was released by somebody a moment later",
            hint=f"{CLIENT} -p {facts.name} show",
        )
    return HeldPlace(facts.name, holder, serial, host, port)


def show_place(name: str) -> PlaceFacts:
    """What the coordinator knows of a place. Errors as of `acquire_place`."""
    shown = _ask(name, "show")
    title = re.search(r"^Place '(.+)':$", shown, re.MULTILINE)
    tags = re.search(r"^  tags: (.+)$", shown, re.MULTILINE)
    acquired = re.search(r"^  acquired: (.+)$", shown, re.MULTILINE)
    if title is None or acquired is None:
        raise DeviceError(
            f"asking labgrid for the place {name}",
            f"{CLIENT} shows what is no place: {shown[:200]!r}",
            expected="the output of labgrid 26.0",
        )
    pairs = (pair.partition("=") for pair in (tags[1].split(", ") if tags else ()))
    holder = None if acquired[1] == NOBODY else acquired[1]
    return PlaceFacts(title[1], {key: value for key, _, value in pairs}, holder)


def own_name() -> str:
    """We as labgrid names us: "host/user"."""
    host = os.environ.get("LG_HOSTNAME") or socket.gethostname()
    return f"{host}/{os.environ.get('LG_USERNAME') or getpass.getuser()}"


def _phone_of(facts: PlaceFacts) -> tuple[str, str | None, int | None]:
    """Serial, and host and port of the adb server, from the tags."""
    doing = f"reading the tags of the labgrid place {facts.name}"
    serial, adb = facts.tags.get("serial"), facts.tags.get("adb")
    if not serial:
        raise InputError(
            doing,
            "it has no tag `serial`"
            + (f", only {', '.join(sorted(facts.tags))}" if facts.tags else ""),
            expected="the adb serial of the phone",
            hint=f"{CLIENT} -p {facts.name} set-tags serial=SERIAL",
        )
    if adb is None:
        return serial, None, None
    found = _ADDRESS.fullmatch(adb)
    if found is None or not 0 < int(found[2]) < 65536:
        raise InputError(
            doing,
            f"its tag `adb` is {adb!r}",
            expected="HOST:PORT of the phone's adb server",
            hint=f"{CLIENT} -p {facts.name} set-tags adb=127.0.0.1:5037",
        )
    return serial, found[1], int(found[2])


def _busy(facts: PlaceFacts) -> DeviceBusy:
    error = DeviceBusy(
        f"acquiring the labgrid place {facts.name}",
        f"{facts.holder} has it",
        hint=f"wait; if nobody uses it any more: {CLIENT} -p {facts.name} "
        f"release-from {facts.holder}",
    )
    error.holder = facts.holder or ""
    return error


def _ask(place: str, *command: str) -> str:
    """What the client says; out of the terminal's reach, so that Ctrl-C leaves no half answer."""
    doing = f"asking labgrid for the place {place}"
    beside_us = str(Path(sys.executable).parent)
    path = os.pathsep.join(filter(None, (os.environ.get("PATH"), beside_us)))
    program = shutil.which(CLIENT, path=path)
    if program is None:
        raise InputError(
            doing, f"there is no {CLIENT} in $PATH", hint="python -m pip install labgrid"
        )
    try:
        done = subprocess.run(
            [program, "-p", place, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_S,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise DeviceError(doing, f"{program} {command[0]}: {err}", hint=_hint()) from err
    if done.returncode == 0:
        return done.stdout
    said = " ".join((done.stderr.strip() or done.stdout.strip() or "nothing").split())
    if "matches nothing" in said or "matches multiple" in said:
        raise InputError(
            doing, said, expected=f"one of those that `{CLIENT} places` lists", hint=_hint()
        )
    if "already acquired" in said:
        raise _busy(show_place(place))
    raise DeviceError(doing, f"{CLIENT} {command[0]} says: {said}", hint=_hint())


def _hint() -> str:
    coordinator = os.environ.get("LG_COORDINATOR")
    if coordinator is None:
        return "LG_COORDINATOR=HOST:PORT names the coordinator (now 127.0.0.1:20408)"
    return f"LG_COORDINATOR is {coordinator}; {CLIENT} places"
