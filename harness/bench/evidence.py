"""What a failed run can still tell: collected at once, within a time of its own."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from harness.bench.pool import LeasedPhone
from harness.device import Deadline, Device, RunPlan
from harness.device.run import LIBRARY_ENV, REPORT_NAME, REQUEST_NAME
from harness.device.store import ROOT_DIR, STORE_DIR
from harness.errors import DeviceError, HarnessError

COLLECT_S = 20.0
PART_S = 8.0
# Android's logcat takes a time of the device's own clock; the run's is that much ago.
LOGCAT = (
    'since=$(($(date +%s) - $1)); logcat -d -T "$(date -d "@$since" "+%m-%d %H:%M:%S.000")"'
    " || logcat -d -t 500"
)
TOMBSTONES = (
    "for f in /data/tombstones/tombstone_*; do"
    ' if [ -r "$f" ] && [ $(($(date +%s) - $(stat -c %Y "$f"))) -lt $(($1 + 60)) ]; then'
    ' echo "== $f"; cat "$f"; fi; done 2>/dev/null'
)
# File -> what the device is asked; $1 is how many seconds ago the run began.
QUESTIONS = {
    "logcat.txt": LOGCAT,
    "thermal.txt": "dumpsys thermalservice",
    "battery.txt": "dumpsys battery",
    # Android's own record, of hours: charge, heat and current as they changed.
    "battery_trace.txt": "dumpsys batterystats --history | tail -n 500",
    "free_space.txt": "df -k /data/local/tmp; cat /proc/meminfo | head -n 5; cat /proc/uptime",
    "getprop.txt": "getprop",
    "tombstones.txt": TOMBSTONES,
}
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
# `getprop` of some phones holds what names a person or opens something.
_SECRET = re.compile(
    r"^\[[^\]]*(imei|meid|token|secret|password|wifi\.mac|btmac)[^\]]*\].*$", re.I | re.M
)


@dataclass(frozen=True)
class Evidence:
    """Where evidence goes, and how long collecting it may take."""

    folder: Path
    limit_s: float = COLLECT_S

    def collect(
        self,
        leased: LeasedPhone,
        subject: str,
        error: HarnessError,
        elapsed_s: float,
        plan: RunPlan | None = None,
    ) -> Path:
        """Write what is known and what the phone still answers; the folder.

        Never raises a DeviceError: a phone that is gone leaves `missing.txt`.
        """
        name = _UNFIT.sub("_", f"{subject}-{leased.phone.serial}-{time.time_ns() // 10**6 % 10**9}")
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "error.txt", f"{type(error).__name__}: {error}\n")
        _write(folder / "runner_stderr.txt", str(getattr(error, "stderr", "")))
        _write(folder / "before.txt", f"{leased.fitness}\n")
        if plan is not None:
            _write(folder / "repeat.sh", repeat_commands(leased.device, plan))
        missing = self._ask(leased.device, folder, elapsed_s)
        if missing:
            _write(folder / "missing.txt", "".join(f"{line}\n" for line in missing))
        return folder

    def _ask(self, device: Device, folder: Path, elapsed_s: float) -> list[str]:
        missing = []
        deadline = Deadline(self.limit_s)
        for name, script in QUESTIONS.items():
            part = Deadline(min(PART_S, deadline.remaining()))
            if deadline.expired:
                missing.append(f"{name}: no time was left")
                continue
            argv = ["sh", "-c", script, "sh", str(int(elapsed_s) + 1)]
            try:
                answer = device.shell(argv, part)
            except DeviceError as err:
                missing.append(f"{name}: {err.problem.splitlines()[0]}")
                continue
            _write(folder / name, _SECRET.sub("[left out]", answer.stdout + answer.stderr))
        return missing


def repeat_commands(device: Device, plan: RunPlan) -> str:
    """A shell script that runs the same again by hand, with the files that lie in the store."""
    adb = f"adb -H {device.server.host} -P {device.server.port} -s {shlex.quote(device.serial)}"
    folder = f"{ROOT_DIR}/repeat"
    prepare = [f"rm -rf {folder}", f"mkdir -p {folder}", f"cd {folder}"]
    for name, file in plan.files.items():
        if "/" in name:
            prepare.append(f"mkdir -p {shlex.quote(name.rpartition('/')[0])}")
        prepare.append(f"ln -s {STORE_DIR}/{file.sha256} {shlex.quote(name)}")
    env = [f"{name}={shlex.quote(value)}" for name, value in {**LIBRARY_ENV, **plan.env}.items()]
    runner = [*env, f"./{shlex.quote(plan.executable)}"]
    run = f"cd {folder} && {' '.join(runner)} --request {REQUEST_NAME} --report {REPORT_NAME}"
    lines = [
        "#!/bin/sh -e",
        f"{adb} shell {shlex.quote(' && '.join(prepare))}",
        f"printf %s {shlex.quote(plan.request_json.decode())} |"
        f" {adb} shell {shlex.quote(f'cat >{folder}/{REQUEST_NAME}')}",
        f"{adb} shell {shlex.quote(run)}",
        f"{adb} shell cat {folder}/{REPORT_NAME}",
    ]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
