"""A device is used by one run at a time: the lease that lies on the device itself.

All hosts, users and servers that reach a device see the same lease. Times are the device's
own uptime, so no clock of any host matters. `lease_script.py` says how it is taken.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
import socket
import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.lease_script import LEASE_SCRIPT
from harness.device.store import ROOT_DIR
from harness.errors import DeviceBusy, DeviceError, LeaseLost

LEASE_S = 30
TAKE_S = 15.0
RELEASE_S = 5.0
# Three renewals may fail before the fourth comes too late.
RENEWALS_PER_LEASE = 4


class Lease:
    """A device that is ours until `release`, kept so by a heartbeat.

    `device` is the device to use meanwhile: what runs and pushes leave on it bears our
    token, by which a successor finds it if we die.
    """

    def __init__(self, device: Device, token: str, number: int, ttl_s: int, who: str) -> None:
        self.device = replace(device, token=token)
        self.token = token
        self.number = number
        self.ttl_s = ttl_s
        self.dead_token: str | None = None
        self._who = who
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._held_until = time.monotonic() + ttl_s
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def start_heart(self) -> None:
        """Renew from now on."""
        self._heart.start()

    def check(self) -> None:
        """Raise LeaseLost if somebody else may have used the device meanwhile."""
        if not self._lost.is_set() and time.monotonic() > self._held_until:
            self.renew()
        if self._lost.is_set():
            raise LeaseLost(
                f"using {self.device.serial}",
                "our lease expired and somebody else took the device over",
                hint="was this computer, or the link to the device, stopped for a while?",
            ).on(self.device.serial)

    def renew(self) -> None:
        """Hold it for another `ttl_s` from now on. Errors as of `Device.shell`."""
        asked_at = time.monotonic()
        deadline = Deadline(max(1.0, self.ttl_s / 2))
        answer = run_lease(self.device, ["renew", *self._words()], deadline)
        if answer.startswith("lost"):
            self._lost.set()
        else:
            self._held_until = asked_at + self.ttl_s

    def release(self) -> None:
        """Give it back, if the device can be reached; else it expires. The second does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._heart.is_alive():
            self._heart.join(self.ttl_s)
        if self._lost.is_set():
            return
        try:
            run_lease(self.device, ["release", *self._words()], Deadline(RELEASE_S))
        except DeviceError:
            return

    def _words(self) -> list[str]:
        return [self.token, str(self.ttl_s), self._who, str(self.number)]

    def _beat(self) -> None:
        while not self._ended.wait(self.ttl_s / RENEWALS_PER_LEASE):
            if self._lost.is_set():
                return
            try:
                self.renew()
            except DeviceError:
                continue  # it may come back before the lease expires; `check` looks then


def take_lease(device: Device, *, ttl_s: int = LEASE_S, who: str | None = None) -> Lease:
    """Take the device, or raise DeviceBusy (with `holder` and `left_s`) if somebody holds it.

    A holder that has not renewed for its TTL is dead: its processes and half-pushed files
    are swept. Errors otherwise as of `Device.shell`, and CommandFailed.
    """
    who = who or _own_name()
    token = new_token()
    words = ["take", token, str(ttl_s), who, "0"]
    answer = run_lease(device, words, Deadline(TAKE_S)).split()
    if answer[:1] == ["taken"] and len(answer) > 1 and answer[1].isdecimal():
        lease = Lease(device, token, int(answer[1]), ttl_s, who)
        lease.dead_token = answer[3] if len(answer) > 3 else None
        lease.start_heart()
        return lease
    left_s, holder = (answer[1], " ".join(answer[2:])) if len(answer) > 1 else ("0", "")
    error = DeviceBusy(
        f"taking {device.serial}",
        f"{holder or 'somebody'} holds it, for {left_s} s more unless renewed",
        hint="wait, or choose another device",
    )
    error.serial, error.holder = device.serial, holder
    error.left_s = float(left_s) if left_s.isdecimal() else 0.0
    raise error


def _own_name() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may not know its user's name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}:{os.getpid()}"


def new_token() -> str:
    """A name for one holding of one device: host, process, chance."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def run_lease(device: Device, words: list[str], deadline: Deadline) -> str:
    """The lease script's line."""
    argv = ["sh", "-c", LEASE_SCRIPT, "sh", ROOT_DIR, *words]
    result = device.shell(argv, deadline)
    return result.check(f"asking for the lease of {device.serial}", device.serial).stdout.strip()
