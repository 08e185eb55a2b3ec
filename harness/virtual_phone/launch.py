"""Starting a virtual phone as a child process."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from harness.cache import CACHE_VARIABLE, cache_root, make_cache_dir
from harness.errors import DeviceError, InputError, PhoneInUse
from harness.virtual_phone.cli import READY
from harness.virtual_phone.daemon import check_name, phones_dir
from harness.virtual_phone.disk import IN_USE

_STOP_TIMEOUT_S = 10.0
# From closing its output to its end; longer is no end.
_END_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class VirtualPhone:
    """A running virtual phone. Not known to any adb server until one connects to `serial`."""

    serial: str  # "127.0.0.1:PORT", what `adb connect` wants
    port: int
    log_path: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it, with everything that runs on it; harmless when it has ended."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> VirtualPhone:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_virtual_phone(
    soc: str | None = None,
    name: str = "default",
    *,
    profile_path: Path | None = None,
    fresh: bool = False,
    faults: Sequence[str] = (),
    authorized_key: Path | None = None,
    timeout_s: float = 30.0,
) -> VirtualPhone:
    """Start a virtual phone that ends with this process at the latest.

    Args:
        soc: as `--soc`; None: the profile's.
        name: tells phones of one SoC apart; each has a disk of its own.
        profile_path: a YAML profile.
        fresh: wipe its disk first.
        faults: as `--fault`: "offline", "disk_full=1000".
        authorized_key: the adbkey.pub of the only adb server it obeys; None: anybody.
        timeout_s: how long it may take to listen.

    Raises:
        InputError: it refused its options, or its disk is in use.
        DeviceError: it did not come up.
    """
    check_name(name)
    arguments = ["--name", name, "--parent-pid", str(os.getpid())]
    arguments += ["--soc", soc] if soc is not None else []
    arguments += ["--profile", str(profile_path.absolute())] if profile_path is not None else []
    arguments += ["--fresh"] if fresh else []
    arguments += [f"--authorized-key={authorized_key.absolute()}"] if authorized_key else []
    arguments += [f"--fault={fault}" for fault in faults]
    log_path = make_cache_dir(phones_dir() / "logs") / f"{soc or 'profile'}-{name}.log"
    process = _spawn(arguments, log_path)
    assert process.stdout is not None
    with process.stdout as output:
        address = _await_ready(output, time.monotonic() + timeout_s)
    if address is None:
        raise _explain(process, log_path)
    return VirtualPhone(address, int(address.rpartition(":")[2]), log_path, process)


def _spawn(arguments: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("wb") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.virtual_phone", *arguments],
            # From its own folder the child finds the harness, installed or not.
            cwd=Path(__file__).parents[2],
            env={**os.environ, CACHE_VARIABLE: str(cache_root())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_file,
            # Ctrl-C is for the session, which stops the phone when it has cleaned up on it.
            start_new_session=True,
        )


def _await_ready(output: IO[bytes], deadline: float) -> str | None:
    """The address in the line that says it listens; None if that does not come in time."""
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0 and selector.select(left_s):
            chunk = os.read(output.fileno(), 4096)
            text += chunk
            for line in text.decode().splitlines(keepends=True):
                if line.startswith(READY) and line.endswith("\n"):
                    return line.removeprefix(READY).strip()
            if not chunk:
                return None
    return None


def _explain(process: subprocess.Popen[bytes], log_path: Path) -> InputError | DeviceError:
    """The error for a phone that did not come up; ends what is left of it."""
    doing = "starting a virtual phone"
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return DeviceError(doing, "it does not listen in time", log=log_path)
    code = process.returncode
    said = log_path.read_text(errors="replace").strip()
    if code == InputError.exit_status and said:
        problem, _, rest = said.rpartition("\n  hint:")
        kind = PhoneInUse if IN_USE in said else InputError
        return kind(doing, problem or rest, hint=rest.strip() if problem else None)
    return DeviceError(doing, f"it ended with exit code {code}", log=log_path)
