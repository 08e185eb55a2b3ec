"""The command `doctor`: what is here, what is missing, what fixes it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from harness.cache import CACHE_VARIABLE, cache_root
from harness.compile.stack import INSTALL_HINT, OLDEST_GLIBC, find_compiler_stack
from harness.device import AdbServer, adb_program, connect_server
from harness.device.adb_program import adb_version, confinement
from harness.errors import HarnessError

_NEEDED_DISK_GB = 5


@dataclass(frozen=True)
class Finding:
    """One line. `fix` is set where something is missing; `needed_for` says by whom."""

    what: str
    says: str
    fix: str | None = None
    needed_for: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--adb-host", "--host", help="host of the adb server (127.0.0.1)")
    parser.add_argument("--adb-port", type=int, help="port of the adb server (5037)")


def main(args: argparse.Namespace) -> int:
    """Print the findings; 1 if something is missing."""
    findings = list(_examine(args))
    for finding in findings:
        mark = "ok " if finding.fix is None else "-- "
        print(f"{mark} {finding.what:<16} {finding.says}")
        if finding.fix is not None:
            print(f"    needed for {finding.needed_for}; fix: {finding.fix}")
    return 1 if any(finding.fix for finding in findings) else 0


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    yield Finding("python", platform.python_version())
    yield _glibc()
    yield _cache()
    yield _adb()
    yield from _devices(args)
    yield _attempt("compiler stack", _stack, "compiling models", INSTALL_HINT)
    compiler = shutil.which("c++") or shutil.which("g++")
    yield Finding(
        "C++ compiler",
        compiler or "none",
        None if compiler else "apt-get install g++",
        "building the runner",
    )


def _adb() -> Finding:
    try:
        program = adb_program()
    except HarnessError as err:
        return Finding("adb", err.problem, err.hint or "pip install adbutils", "any device")
    cage = confinement(program)
    if cage is not None:
        return Finding(
            "adb",
            f"{program} is confined by {cage}: its server may see neither USB nor your key",
            "use adb of another source: export ADBUTILS_ADB_PATH=/usr/bin/adb",
            "devices on USB",
        )
    return Finding("adb", str(program))


def _glibc() -> Finding:
    name, version = platform.libc_ver()
    if name != "glibc":
        return Finding("glibc", f"none ({sys.platform})", "use Linux with glibc", "the simulator")
    known = tuple(int(part) for part in version.split(".")[:2])
    fix = None if known >= OLDEST_GLIBC else "use a distribution with glibc 2.35 or later"
    return Finding("glibc", version, fix, "onnxruntime-qnn's libraries")


def _cache() -> Finding:
    folder = cache_root()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    says = f"{folder}, {free_gb:.0f} GB free"
    if not os.access(existing, os.W_OK):
        return Finding("cache", f"{says}, not writable", f"set {CACHE_VARIABLE}", "everything")
    low = free_gb < _NEEDED_DISK_GB
    fix = f"set {CACHE_VARIABLE} to a disk with more room" if low else None
    return Finding("cache", says, fix, "bundles")


def _devices(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        server = connect_server(args.adb_host, args.adb_port)
        entries = server.list_devices()
    except HarnessError as err:
        yield Finding("adb server", err.problem, err.hint or "adb start-server", "any device")
        return
    yield Finding(
        "adb server",
        f"{server.address}, version 1.0.{server.version}; any local user reaches its devices",
    )
    yield from _clash(server)
    if not entries:
        yield Finding("devices", "none; --serial virtual needs none")
    for entry in entries:
        fix = None if entry.state == "device" else "see `python -m harness devices`"
        yield Finding("device", f"{entry.serial} is {entry.state}", fix, "running on it")


def _clash(server: AdbServer) -> Iterator[Finding]:
    """An adb of another version ends a server of this machine as soon as somebody types it."""
    with suppress(HarnessError):
        program = adb_program()
        version = adb_version(program)
        if version not in (None, server.version):
            yield Finding(
                "adb versions",
                f"{program} is 1.0.{version}, the server 1.0.{server.version}: that program"
                " would end the server and the runs behind it",
                f"use an adb of 1.0.{server.version}, or restart the server while it is idle",
                "commands by hand",
            )


def _stack() -> str:
    stack = find_compiler_stack()
    return ", ".join(f"{name} {version}" for name, version in stack.versions.items())


def _attempt(what: str, look: Callable[[], str], needed_for: str, fix: str) -> Finding:
    try:
        return Finding(what, look())
    except HarnessError as err:
        return Finding(what, err.problem, err.hint or fix, needed_for)
