"""Which adb program to run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from harness.errors import AdbError

ANSWER_S = 10.0


def adb_program(*, prefer_bundled: bool = False) -> Path:
    """The adb program: $ADBUTILS_ADB_PATH, else the one in $PATH, else adbutils' own.

    The same order as adbutils', so that the server of this machine is started by the
    adb that its user works with. `prefer_bundled` puts adbutils' own before the one in
    $PATH: right for a private server, which nobody else talks to.

    Raises AdbError when there is none, or $ADBUTILS_ADB_PATH names no program.
    """
    named = os.environ.get("ADBUTILS_ADB_PATH")
    if named:
        if not os.access(named, os.X_OK):
            raise AdbError(
                "looking for adb",
                f"ADBUTILS_ADB_PATH={named} is not an executable file",
                hint="unset ADBUTILS_ADB_PATH, or let it name an adb program",
            )
        return Path(named)
    in_path = shutil.which("adb")
    candidates = [_bundled_adb(), Path(in_path) if in_path else None]
    if not prefer_bundled:
        candidates.reverse()
    for candidate in candidates:
        if candidate is not None:
            return candidate
    raise AdbError(
        "looking for adb",
        "none in $ADBUTILS_ADB_PATH, in $PATH or in the adbutils package",
        hint="python -m pip install adbutils==2.12.0",
    )


def confinement(program: Path) -> str | None:
    """What keeps an adb from USB, files and keys: "snap" or "flatpak"; None: nothing is known."""
    parts = {*program.parts, *program.resolve().parts}
    return next((name for name in ("snap", "flatpak") if name in parts), None)


def adb_version(program: Path) -> int | None:
    """Of the protocol: 41 of "Android Debug Bridge version 1.0.41"; None if it does not say."""
    try:
        done = subprocess.run(
            [program, "version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"version 1\.0\.(\d+)", done.stdout)
    return int(found[1]) if found else None


def _bundled_adb() -> Path | None:
    """The adb inside adbutils' wheel, found without importing adbutils (0.3 s)."""
    spec = importlib.util.find_spec("adbutils")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "binaries", "adb")
        if os.access(program, os.X_OK):
            return program
    return None
