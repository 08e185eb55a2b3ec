"""One process of the runner on a device."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.device.deadline import Deadline
from harness.device.device import Device
from harness.device.push import Progress, deploy
from harness.device.run_script import RUN_SCRIPT, SWEEP_SCRIPT
from harness.device.shell import CommandResult, ShellStream, command_line
from harness.device.store import ROOT_DIR, LocalFile
from harness.device.transcript import Transcript
from harness.device.wire import AdbFail
from harness.errors import DeadlineExceeded, DeviceError, DeviceFull, DeviceLost, InputError

REQUEST_NAME = "request.json"
REPORT_NAME = "report.json"
LOGITS_NAME = "logits.bin"
RESERVED_NAMES = {REQUEST_NAME, REPORT_NAME, LOGITS_NAME, ".group"}
# The run folder holds the libraries of host and DSP; both look where these say.
LIBRARY_ENV = {"LD_LIBRARY_PATH": ".", "ADSP_LIBRARY_PATH": "."}
STOP_S = 6.0  # the script itself waits at most 2 s for a killed group
SWEEP_S = 6.0
LAST_LINES = 10
SIGNAL_EXIT = 128


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    `files` maps names in the run folder ("lib.so", "cases/red/pixels_0.bin") to their
    content. `executable` is one of them, called with `--request request.json --report
    report.json` in that folder. `timeout_s` bounds the process, not the sending of files.
    """

    files: Mapping[str, LocalFile]
    request_json: bytes
    executable: str
    timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOutcome:
    """How the process ended; whether that is good is for the caller to say."""

    exit_code: int  # 128 + N after signal N
    stdout: str
    stderr: str
    report_json: bytes | None  # None: it wrote none
    runner_s: float  # the process, by this computer's clock, one round trip included
    wall_s: float  # all of run_on_device
    pushed_bytes: int
    logits: bytes | None = None  # what it wrote to LOGITS_NAME


def run_on_device(device: Device, plan: RunPlan, on_progress: Progress | None = None) -> RunOutcome:
    """Deploy the plan's files, run its executable, bring back its report.

    When this returns or raises, the process and the run folder are gone from the device;
    if the link broke, the device itself sees to that.

    Raises DeadlineExceeded (with `serial`, `timeout_s` and `stderr`), InputError for file
    names that leave the run folder, and the errors of `deploy` and `Device.shell`. A
    process that fails is an outcome, not an error.
    """
    begin = time.monotonic()
    _check_names(plan)
    pushed_bytes = 0
    for _ in range(2):
        pushed_bytes += deploy(device, plan.files, on_progress=on_progress).pushed_bytes
        script = _run_script(device, plan)
        if script.missing_sha256 is None:
            return _outcome(device, script, time.monotonic() - begin, pushed_bytes)
    raise DeviceError(
        f"running {plan.executable} on {device.serial}",
        f"{script.missing_sha256} vanished twice from the store while it was needed",
        hint="find out what else cleans up /data/local/tmp on this device",
    ).on(device.serial)


def _check_names(plan: RunPlan) -> None:
    for name in plan.files:
        path = PurePosixPath(name)
        tame = name.isprintable() and name == name.strip() and str(path) == name
        if not tame or path.is_absolute() or ".." in path.parts or name in (".", ""):
            raise InputError(
                f"preparing a run of {plan.executable}",
                f"the file name {name!r} is unfit for a run folder",
                expected="a relative path that stays inside it",
            )
        if name in RESERVED_NAMES:
            raise InputError(
                f"preparing a run of {plan.executable}", f"the file name {name!r} is taken"
            )
    if plan.executable not in plan.files:
        raise InputError(
            f"preparing a run of {plan.executable}",
            "the executable is not among the files",
            expected=", ".join(sorted(plan.files)),
        )


def _run_script(device: Device, plan: RunPlan) -> Transcript:
    """Run RUN_SCRIPT to its end, or stop it."""
    doing = f"running {plan.executable} on {device.serial}"
    run_id = f"{device.token or os.getpid()}-{secrets.token_hex(8)}"
    transcript = Transcript(run_id)
    deadline = Deadline(plan.timeout_s)
    with device.transport(doing, deadline) as connection:
        stream = ShellStream(connection, _command(plan, run_id))
        try:
            links = (f"{file.sha256} {name}\n" for name, file in plan.files.items())
            stream.write_stdin("".join(links).encode() + b"\n" + plan.request_json)
            for frame_id, payload in stream.frames():
                transcript.append(frame_id, payload)
        except BaseException as err:
            fate = _stop(device, run_id, stream, transcript)
            if isinstance(err, TimeoutError) and deadline.expired:
                raise _too_long(doing, device, plan, transcript, fate) from err
            raise
    if not transcript.complete:
        _sweep(device, run_id)
    return transcript


def _command(plan: RunPlan, run_id: str) -> str:
    assignments = (f"{name}={value}" for name, value in {**LIBRARY_ENV, **plan.env}.items())
    runner = ["env", *assignments, f"./{plan.executable}"]
    runner += ["--request", REQUEST_NAME, "--report", REPORT_NAME]
    size = str(len(plan.request_json))
    return command_line(["sh", "-c", RUN_SCRIPT, "sh", ROOT_DIR, run_id, size, *runner])


def _stop(device: Device, run_id: str, stream: ShellStream, transcript: Transcript) -> str:
    """Kill the process on the device and remove the run folder, as far as it listens.

    Returns "gone", "alive" (a killed process that does not die sits in a driver), or
    "out of reach".
    """
    stream.connection.deadline = Deadline(STOP_S)
    try:
        stream.close_stdin()
        for frame_id, payload in stream.frames():
            transcript.append(frame_id, payload)
    except (AdbFail, EOFError, OSError):
        stream.connection.close()
    return transcript.fate or _sweep(device, run_id)


def _sweep(device: Device, run_id: str) -> str:
    """What `_stop` does, over a new connection, for a script that no longer can."""
    argv = ["sh", "-c", SWEEP_SCRIPT, "sh", ROOT_DIR, run_id]
    try:
        return device.shell(argv, Deadline(SWEEP_S)).stdout.strip() or "out of reach"
    except DeviceError:
        return "out of reach"


def _too_long(
    doing: str, device: Device, plan: RunPlan, transcript: Transcript, fate: str
) -> DeadlineExceeded:
    what = {
        "gone": "killed on the device",
        "alive": "killed on the device, but it does not die there",
    }.get(fate, "whether it still runs is unknown: the device does not answer")
    last = "".join(f"\n    | {line}" for line in transcript.stderr.splitlines()[-LAST_LINES:])
    error = DeadlineExceeded(
        doing,
        f"no end after {plan.timeout_s:g} s; {what}. Its last words: {last or 'none'}",
        hint=f"reboot the device: adb -s {device.serial} reboot" if fate == "alive" else None,
    )
    error.serial = device.serial
    error.timeout_s = plan.timeout_s
    error.stderr = transcript.stderr
    return error


def _outcome(device: Device, script: Transcript, wall_s: float, pushed_bytes: int) -> RunOutcome:
    exit_code = script.runner_exit_code
    if exit_code is None:
        raise _never_ran(device, script)
    return RunOutcome(
        exit_code=exit_code,
        stdout=script.stdout,
        stderr=script.stderr,
        report_json=script.report_json,
        runner_s=script.runner_s,
        wall_s=wall_s,
        pushed_bytes=pushed_bytes,
        logits=script.output,
    )


def _never_ran(device: Device, script: Transcript) -> DeviceError:
    """The error for a script that ended without having seen the runner's end."""
    doing = f"making a run folder on {device.serial}"
    code = -1 if script.exit_code is None else script.exit_code
    if "no space" in script.stderr.lower():
        return DeviceFull(
            doing, script.stderr.strip(), hint=f"adb -s {device.serial} shell rm -rf {ROOT_DIR}"
        ).on(device.serial)
    if code > SIGNAL_EXIT:
        return DeviceLost(
            doing, f"its shell was ended by signal {code - SIGNAL_EXIT}, as by a reboot"
        ).on(device.serial)
    try:
        CommandResult(code, script.stdout, script.stderr).check(doing, device.serial)
    except DeviceError as err:
        return err
    return DeviceError(doing, "its shell ended without having run anything").on(device.serial)
