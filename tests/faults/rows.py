"""The faults of the matrix: what is done to a phone or a process, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass

# How the harness's own commands are recognised by a phone that wants to disturb them.
FACTS = "for name in"
TAKE = "vlm-device-harness take "
RENEW = "vlm-device-harness renew "
RELEASE = "vlm-device-harness release "
LOOK = "found=.*stat -c"
SLOW = "slow_link=20000"  # so that a push takes some of the two seconds a stall may last
IN_PUSH_S = 0.4
RUN = "setsid -w"
RUNNER = "vlm_runner --request"

PASSES = "passes"


@dataclass(frozen=True)
class Row:
    """One fault.

    `outcome` is PASSES (at once or after retries) or the error's class. `reply` changes what
    the stub runner does. `special` names a fault that is made outside the phone.
    """

    stage: str
    fault: str
    faults: tuple[str, ...] = ()
    outcome: str = PASSES
    reply: tuple[tuple[str, object], ...] = ()
    special: str | None = None

    @property
    def name(self) -> str:
        return f"{self.stage}: {self.fault}"


FULL = "'No space left on device'"


def _once(fault: str, pattern: str, **options: object) -> str:
    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f"{fault}={{pattern: '{pattern}', times: 1{more}}}"


def _always(fault: str, pattern: str, **options: object) -> str:
    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f"{fault}={{pattern: '{pattern}'{more}}}"


def _misbehave(**what: object) -> tuple[tuple[str, object], ...]:
    return (("misbehave", what),)


def _stage(stage: str, pattern: str, *more: str, **options: object) -> list[Row]:
    """What can happen to each command of ours, once: the next attempt passes."""
    return [
        Row(stage, "link drops", (_once("drop_command", pattern, **options), *more)),
        Row(stage, "reboot", (_once("reboot_command", pattern, **options), *more)),
        Row(stage, "no exit code", (_once("no_exit_code", pattern), *more)),
        Row(stage, "garbled", (_once("garble_command", pattern), *more)),
        Row(stage, "wedge", (_once("wedge_command", pattern, **options), *more)),
    ]


CONNECT = [
    Row("connect", "offline", ("offline",), "DeviceNotUsable"),
    Row("connect", "unauthorized", ("unauthorized",), "DeviceNotUsable"),
    Row("connect", "no such serial", outcome="DeviceNotFound", special="no_such_serial"),
    Row("connect", "another SoC", outcome="DeviceMismatch", special="another_soc"),
    Row("connect", "no adb server", outcome="AdbError", special="no_server"),
    Row("connect", "server of an old version", outcome="AdbError", special="old_server"),
    Row("connect", "server that says nothing", outcome="AdbError", special="mute_server"),
    Row("connect", "server that is none", outcome="AdbError", special="other_server"),
    Row("connect", "link drops", (_once("drop_command", FACTS),)),
    Row("connect", "reboot", (_once("reboot_command", FACTS),)),
]
LEASE = [
    *_stage("lease", TAKE),
    Row("lease", "no permission", (_always("fail_command", TAKE),), "CommandFailed"),
    Row(
        "lease",
        "full disk",
        (_always("fail_command", TAKE, message=FULL),),
        "CommandFailed",
    ),
    Row("lease", "held by a live session", outcome="DeviceBusy", special="live_holder"),
    Row("lease", "holder dead", special="dead_holder"),
    Row("lease", "taker died on the way", special="half_made_lease"),
    Row(
        "lease",
        "renewals fail",
        (_always("fail_command", RENEW),),
        reply=(("sleep_s", 2.5),),
    ),
    Row("lease", "link drops at release", (_once("drop_command", RELEASE),)),
    Row("lease", "two sessions for one phone", special="two_sessions"),
]
PUSH = [
    *_stage("look", LOOK),
    Row("look", "no permission", (_always("fail_command", LOOK),), "CommandFailed"),
    Row("push", "link drops", ("drop_after_bytes=3000",)),
    Row("push", "wedge", ("wedge_after_bytes=3000",)),
    Row("push", "wrong data", ("corrupt_push=3000",)),
    Row("push", "torn pack", ("corrupt_push=100",)),
    Row("push", "slow link", ("slow_link=60000",)),
    Row("push", "slow acknowledgements", ("slow_ack=0.05",)),
    Row("push", "full disk", ("disk_full=4000",), "DeviceFull"),
    Row("push", "no permission", ("deny_push=/data/local/tmp/vlm-device-harness",), "DeviceError"),
    # The look goes on as the device's side of the push.
    *_stage("verify", LOOK, SLOW, after_s=IN_PUSH_S),
    Row("verify", "shell killed", (_once("kill_command", LOOK, after_s=IN_PUSH_S), SLOW)),
]
RUNS = [
    *_stage("run", RUN),
    Row(
        "run",
        "full disk",
        (_always("fail_command", RUN, message=FULL),),
        "DeviceFull",
    ),
    Row("run", "no permission", (_always("fail_command", RUN),), "CommandFailed"),
    Row("run", "runner killed", (_once("kill_command", RUNNER, after_s=0.4),)),
    Row(
        "run",
        "runner killed each time",
        (_always("kill_command", RUNNER, after_s=0.4),),
        "RunnerKilled",
    ),
    Row("run", "runner stopped", (_once("kill_command", RUNNER, after_s=0.4, signal=19),)),
    Row("run", "runner crashes", outcome="RunnerError", reply=_misbehave(kind="signal", signal=11)),
    Row("run", "runner hangs", outcome="DeadlineExceeded", reply=_misbehave(kind="hang")),
    Row("run", "report garbled", outcome="RunnerError", reply=_misbehave(kind="garbled_report")),
    Row("run", "report cut off", outcome="RunnerError", reply=_misbehave(kind="truncated_report")),
    Row("run", "no report", outcome="RunnerError", reply=_misbehave(kind="no_report")),
    Row("run", "link drops each time", (_always("drop_command", RUN, after_s=0.3),), "DeviceLost"),
    Row("run", "clock jumps an hour ahead", ("clock_jump=3600",)),
    Row("run", "clock jumps a year back", ("clock_jump=-31536000",)),
    Row("run", "heat", ("heat=5",)),
    Row("run", "server killed", outcome="AdbError", special="kill_server"),
    Row("run", "server stopped", outcome="AdbError", special="stop_server"),
    Row("run", "host process killed", special="kill_process_in_run"),
    Row("push", "host process killed", (SLOW,), special="kill_process_in_push"),
]
ROWS = [*CONNECT, *LEASE, *PUSH, *RUNS]
