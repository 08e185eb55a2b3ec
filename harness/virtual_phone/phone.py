"""The state of one virtual phone that all its connections share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Collection, Coroutine
from typing import Any, Protocol

from harness.virtual_phone.authentication import PublicKey
from harness.virtual_phone.disk import DATA_DIR, PhoneDisk
from harness.virtual_phone.faults import FaultProgress
from harness.virtual_phone.processes import (
    MARK_VARIABLE,
    PhoneProcess,
    kill_processes,
    start_in_terminal,
    start_piped,
)
from harness.virtual_phone.profile import PhoneProfile
from harness.virtual_phone.system import (
    VITALS_WORDS,
    Vitals,
    install_identity,
    install_system,
    install_wrong_clock,
    write_vitals,
)

log = logging.getLogger(__name__)

REBOOT_S = 1.0
_VITALS_PATTERN = re.compile(r"uptime|dumpsys|\bdf\b")
_VITALS_PERIOD_S = 0.1
_RUNNER = re.compile(r"\./\S*vlm_runner\b|--request\b")


class Link(Protocol):
    """A connection, as the phone needs it."""

    def drop(self) -> None:
        """Cut it at once."""

    def mute(self) -> None:
        """Keep it, and say nothing on it any more."""


class Phone:
    """A booted phone: its disk, profile, faults, processes and links."""

    def __init__(
        self, profile: PhoneProfile, disk: PhoneDisk, name: str, key: PublicKey | None
    ) -> None:
        self.profile = profile
        self.faults = profile.faults
        self.progress = FaultProgress()
        self.disk = disk
        self.authorized_key = key
        self.links: set[Link] = set()
        self.rebooting = False
        self.gone_offline = False
        self.mark = str(disk.home_dir.resolve())
        self._properties = profile.all_properties(f"virtual-{profile.soc}-{name}")
        self._tasks: set[asyncio.Task[object]] = set()
        swept = kill_processes(self.mark)
        if swept:
            log.info("swept %d processes of a killed phone", swept)
        disk.prepare()
        # The space the `disk_full` fault leaves is counted from what is there at the start.
        self._capacity_bytes = (
            profile.disk_bytes
            if self.faults.disk_full is None
            else disk.used_bytes() + self.faults.disk_full
        )
        install_system(disk.root_dir, disk.shell_root, self._properties)
        if self.faults.clock_jump:
            install_wrong_clock(disk.root_dir, self.faults.clock_jump)
        self._boot()

    def _boot(self) -> None:
        self._boot_time_s = time.monotonic()
        install_identity(self.disk.root_dir, self.profile, str(uuid.uuid4()))
        self.refresh_vitals()

    @property
    def banner(self) -> bytes:
        """The payload of the phone's CNXN packet."""
        known = self._properties
        parts = [f"{key}={known[key]}" for key in _BANNER_PROPERTIES]
        return ("device::" + ";".join(parts) + ";features=" + ",".join(FEATURES)).encode()

    def free_bytes(self) -> int:
        """What can still be pushed; never more than the host's disk has."""
        return self._free_beside(self.disk.used_bytes())

    def _free_beside(self, used_bytes: int) -> int:
        left = self._capacity_bytes - used_bytes
        return max(0, min(left, shutil.disk_usage(self.disk.root_dir).free))

    def refresh_vitals(self, words: Collection[str] = VITALS_WORDS) -> None:
        """Bring the figures up to date that commands with these words read."""
        now_s = time.monotonic()
        uptime_s = now_s - self._boot_time_s
        used_bytes = self.disk.used_bytes() if "df" in words else 0
        vitals = Vitals(
            uptime_s=uptime_s,
            heating_c=self.faults.heat * uptime_s
            + self.progress.work_heat_c(self.faults.work_heat, now_s),
            used_bytes=used_bytes,
            free_bytes=self._free_beside(used_bytes),
        )
        write_vitals(self.disk.root_dir, self.profile, vitals, words)

    @contextlib.asynccontextmanager
    async def fresh_vitals(self, command: str) -> AsyncIterator[None]:
        """Keep the figures fresh while a command runs that looks at them.

        But for the space on the disk, which is as it was at the command's beginning: to count it
        anew all the time would cost a long command more than the same on a phone.
        """
        words = set(_VITALS_PATTERN.findall(command))
        if words:
            self.refresh_vitals(words)
        lasting = words - {"df"}
        ticker = asyncio.create_task(self._tick(lasting)) if lasting else None
        try:
            yield
        finally:
            if ticker is not None:
                ticker.cancel()

    async def _tick(self, words: Collection[str]) -> None:
        while True:
            await asyncio.sleep(_VITALS_PERIOD_S)
            self.refresh_vitals(words)

    def start(self, command: str, *, split_errors: bool) -> PhoneProcess:
        """Start a shell command over pipes; "" is a shell that reads its input."""
        if _RUNNER.search(command):
            self.progress.runs_s.append(time.monotonic())
        mapped = self.disk.map_command(command)
        env = self._environment()
        return start_piped(mapped, self.disk.root_dir, env, split_errors=split_errors)

    def start_in_terminal(self, command: str, term: str) -> PhoneProcess:
        """Start a shell command, or an interactive shell, in a terminal."""
        env = {**self._environment(), "TERM": term, "PS1": f"{self.profile.platform}:$PWD $ "}
        mapped = self.disk.map_command(command)
        return start_in_terminal(mapped, self.disk.root_dir, env)

    def run_task(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something beside the connections until it ends or the phone shuts down."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _environment(self) -> dict[str, str]:
        root = self.disk.shell_root
        return {
            "PATH": f"{root}/system/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": root,
            "TMPDIR": root + DATA_DIR,
            "SHELL": "/bin/sh",
            "USER": "shell",
            "LOGNAME": "shell",
            "LANG": "C.UTF-8",
            MARK_VARIABLE: self.mark,
            **self.profile.env,
        }

    def drop_links(self) -> None:
        """Cut all TCP connections at once."""
        for link in list(self.links):
            link.drop()

    def go_offline(self) -> None:
        """Drop the links and answer no new one."""
        log.info("fault: offline")
        self.gone_offline = True
        self.drop_links()

    async def reboot(self) -> None:
        """Kill everything, be gone for `REBOOT_S`, come back with a new boot id."""
        log.info("rebooting")
        self.rebooting = True
        self.drop_links()
        kill_processes(self.mark)
        await asyncio.sleep(REBOOT_S)
        self._boot()
        self.rebooting = False

    def shut_down(self) -> None:
        """Drop the links, kill what runs, give the disk back."""
        self.drop_links()
        killed = kill_processes(self.mark)
        log.info("shut down, killed %d processes", killed)
        self.disk.close()


FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir")
_BANNER_PROPERTIES = ("ro.product.name", "ro.product.model", "ro.product.device")
