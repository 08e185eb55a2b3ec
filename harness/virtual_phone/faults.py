"""How a virtual phone misbehaves on request.

Named in a profile (`faults:`, a list) or on the command line (`--fault NAME[=VALUE]`).

| fault | value | what the phone does |
|---|---|---|
| `offline` | N, default 0 | after N services it drops the link and never answers again on a new one: adb lists it as `offline` |
| `unauthorized` | none | asks for a key and accepts none: adb lists it as `unauthorized` |
| `disk_full` | N bytes | N bytes are left on the disk; a push beyond fails with "No space left on device" and `df` shows it |
| `drop_after_bytes` | N bytes | cuts the TCP link when N bytes of file data have arrived since it started |
| `wedge` | N | after N services it keeps the link but answers nothing any more |
| `slow_link` | bytes/s | takes file data no faster than this |
| `corrupt_push` | N bytes | inverts byte N of file data since it started; the push itself succeeds |
| `deny_push` | path prefix | pushes below it fail with "Permission denied" |
| `heat` | degrees C/s | battery and skin grow hotter from the start on |
| `work_heat` | {c_per_run: C, cooling_s: S} | each run of the runner warms battery and skin by C; what has been warmed cools by a factor e in S seconds |
| `kill_command` | command fault | the innermost matching process gets `signal` (9: a shell reports 137) |
| `drop_command` | command fault | cuts the TCP link while a matching command runs |
| `reboot_command` | command fault | reboots: processes die, the link drops, 1 s later a new boot id |
| `no_exit_code` | command fault | closes the stream of a matching command without an exit code |
| `wedge_command` | command fault | answers nothing any more on the link of a matching command |
| `fail_command` | command fault | a matching command is not run; it fails with `message` on stderr, exit code 1 |
| `garble_command` | command fault | inverts what a matching command says on stdout |
| `wedge_after_bytes` | N bytes | takes no file data any more when N bytes have arrived since it started |
| `slow_ack` | seconds | waits so long before it acknowledges each packet |
| `clock_jump` | seconds | its clock (not its uptime) is off by so much |

An adb server connects a cut link again by itself, within some seconds; only `offline` lets it
wait in vain. A "service" is one stream that the host opens: a command, a push, a pull. A command fault is a regular expression searched for in the command line, or
`{pattern: RE, after_s: 0.5, times: 1, signal: 9, message: ...}`: seconds after the command's start
(default 0), how often it happens (default: each time), the signal of `kill_command` (9; 19 makes a
process hang) and the words of `fail_command`.
"""  # noqa: E501

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import yaml

from harness.errors import InputError


@dataclass(frozen=True)
class CommandFault:
    """Something that happens to commands that match."""

    pattern: re.Pattern[str]
    after_s: float = 0.0
    times: int | None = None  # None: without limit
    signal: int = 9
    message: str = "Permission denied"


@dataclass(frozen=True)
class WorkHeat:
    """A phone that its own work heats: degrees per run, and the time constant of cooling."""

    c_per_run: float
    cooling_s: float


@dataclass(frozen=True)
class Faults:
    """The faults of one phone; the module's table says what each does."""

    offline: int | None = None
    unauthorized: bool = False
    disk_full: int | None = None
    drop_after_bytes: int | None = None
    wedge: int | None = None
    slow_link: float | None = None
    corrupt_push: int | None = None
    deny_push: str | None = None
    heat: float = 0.0
    work_heat: WorkHeat | None = None
    kill_command: CommandFault | None = None
    drop_command: CommandFault | None = None
    reboot_command: CommandFault | None = None
    no_exit_code: CommandFault | None = None
    wedge_command: CommandFault | None = None
    fail_command: CommandFault | None = None
    garble_command: CommandFault | None = None
    wedge_after_bytes: int | None = None
    slow_ack: float = 0.0
    clock_jump: int = 0


FAULT_NAMES = tuple(item.name for item in fields(Faults))


@dataclass
class FaultProgress:
    """What has happened so far to one phone since its daemon started."""

    services: int = 0
    pushed_bytes: int = 0
    command_fault_uses: dict[str, int] = field(default_factory=dict)
    runs_s: list[float] = field(default_factory=list)  # when runs of the runner began

    def work_heat_c(self, fault: WorkHeat | None, now_s: float) -> float:
        """How much warmer the runs so far have left the phone."""
        if fault is None:
            return 0.0
        return sum(
            fault.c_per_run * math.exp((run_s - now_s) / fault.cooling_s) for run_s in self.runs_s
        )

    def use(self, name: str, fault: CommandFault | None, command: str) -> CommandFault | None:
        """`fault` if it is to happen to this command, counted as one use."""
        if fault is None or not fault.pattern.search(command):
            return None
        used = self.command_fault_uses.get(name, 0)
        if fault.times is not None and used >= fault.times:
            return None
        self.command_fault_uses[name] = used + 1
        return fault


def parse_faults(entries: Sequence[object], doing: str) -> Faults:
    """Faults from a profile's list: each entry a name or a mapping {name: value}.

    Args:
        entries: as read from YAML.
        doing: what is being read, for the message.

    Raises:
        InputError: an unknown name, one given twice, or a value that does not fit it.
    """
    values: dict[str, object] = {}
    for entry in entries:
        if isinstance(entry, Mapping) and len(entry) == 1:
            name, value = next(iter(entry.items()))
        else:
            name, value = entry, None
        if name not in _PARSERS:
            raise InputError(
                doing, f"unknown fault {name!r}", expected="one of " + ", ".join(FAULT_NAMES)
            )
        if name in values:
            raise InputError(doing, f"fault {name} is given twice")
        parse, expected = _PARSERS[name]
        try:
            values[name] = parse(value)
        except (TypeError, ValueError, KeyError, re.error) as err:
            raise InputError(
                doing, f"fault {name} cannot be {value!r} ({err})", expected=expected
            ) from err
    return Faults(**values)  # type: ignore[arg-type]


def parse_fault_options(options: Sequence[str]) -> Faults:
    """Faults from `--fault NAME[=VALUE]` arguments; VALUE is YAML.

    Raises:
        InputError: as `parse_faults`, or VALUE is no YAML.
    """
    entries: list[object] = []
    for option in options:
        name, equals, text = option.partition("=")
        try:
            entries.append({name: yaml.safe_load(text)} if equals else name)
        except yaml.YAMLError as err:
            raise InputError("reading --fault", f"{option!r} is no YAML after =") from err
    return parse_faults(entries, "reading --fault")


def merge_faults(profile: Faults, options: Faults) -> Faults:
    """The profile's faults with those of the command line, which win."""
    nothing = Faults()
    chosen = {
        name: value
        for name in FAULT_NAMES
        if (value := getattr(options, name)) != getattr(nothing, name)
    }
    return Faults(**{**{name: getattr(profile, name) for name in FAULT_NAMES}, **chosen})


def _parse_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("not a whole number")
    return value


def _parse_count_or_none(value: object) -> int:
    return 0 if value is None else _parse_count(value)


def _parse_rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise TypeError("not a positive number")
    return float(value)


def _parse_seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _parse_flag(value: object) -> bool:
    if value not in (None, True):
        raise TypeError("takes no value")
    return True


def _parse_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise TypeError("not an absolute path")
    return value


def _parse_command_fault(value: object) -> CommandFault:
    options = value if isinstance(value, Mapping) else {"pattern": value}
    unknown = set(options) - {"pattern", "after_s", "times", "signal", "message"}
    if unknown:
        raise KeyError(f"unknown key {sorted(map(str, unknown))[0]}")
    if not isinstance(options["pattern"], str):
        raise TypeError("pattern is no text")
    after_s = options.get("after_s", 0.0)
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or after_s < 0:
        raise TypeError("after_s is no time in seconds")
    times = options.get("times")
    return CommandFault(
        re.compile(options["pattern"]),
        float(after_s),
        None if times is None else _parse_count(times),
        _parse_count(options.get("signal", CommandFault.signal)),
        str(options.get("message", CommandFault.message)),
    )


def _parse_work_heat(value: object) -> WorkHeat:
    if not isinstance(value, Mapping) or set(value) != {"c_per_run", "cooling_s"}:
        raise TypeError("not the two keys")
    return WorkHeat(_parse_rate(value["c_per_run"]), _parse_rate(value["cooling_s"]))


_COMMAND_FAULT = (_parse_command_fault, "RE or {pattern: RE, after_s: SECONDS, times: N}")
_PARSERS: dict[object, tuple[Callable[[object], object], str]] = {
    "offline": (_parse_count_or_none, "nothing, or a number of services"),
    "unauthorized": (_parse_flag, "no value"),
    "disk_full": (_parse_count, "bytes left on the disk"),
    "drop_after_bytes": (_parse_count, "a number of bytes"),
    "wedge": (_parse_count_or_none, "nothing, or a number of services"),
    "slow_link": (_parse_rate, "bytes per second"),
    "corrupt_push": (_parse_count, "the number of a byte"),
    "deny_push": (_parse_path, "an absolute path on the phone"),
    "heat": (_parse_rate, "degrees Celsius per second"),
    "work_heat": (_parse_work_heat, "{c_per_run: DEGREES, cooling_s: SECONDS}"),
    "kill_command": _COMMAND_FAULT,
    "drop_command": _COMMAND_FAULT,
    "reboot_command": _COMMAND_FAULT,
    "no_exit_code": _COMMAND_FAULT,
    "wedge_command": _COMMAND_FAULT,
    "fail_command": _COMMAND_FAULT,
    "garble_command": _COMMAND_FAULT,
    "wedge_after_bytes": (_parse_count, "a number of bytes"),
    "slow_ack": (_parse_rate, "seconds"),
    "clock_jump": (_parse_seconds, "a whole number of seconds"),
}
