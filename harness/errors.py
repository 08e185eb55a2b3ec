"""Everything that can go wrong, as one tree.

::

    HarnessError
    |-- SpecError               a YAML spec is wrong; carries every problem found
    |-- InputError              a command line, file or folder the user named is wrong
    |   `-- PhoneInUse          a virtual phone of that name runs already
    |-- DeviceError             infrastructure: never the model's fault
    |   |-- AdbError            no adb, or a server that cannot be used
    |   |-- DeviceNotFound      no device of that serial, or none at all
    |   |-- DeviceNotUsable     there, but offline, unauthorized or in recovery
    |   |-- AmbiguousDevice     several devices and no serial
    |   |-- DeviceMismatch      the device is not the SoC that was asked for
    |   |-- DeviceLost          it went away while in use
    |   |-- DeviceFull          no space left on it
    |   |-- DeviceBusy          somebody else holds its lease
    |   |-- LeaseLost           somebody else took its lease over from us
    |   |-- NoFitPhone          the bench has no phone for this, or none is left
    |   |-- RunnerKilled        something on the device killed the runner
    |   |-- TransferCorrupt     what was sent did not arrive as it was
    |   |-- CommandFailed       a command on it exited non-zero
    |   `-- DeadlineExceeded    an operation did not finish in time
    |-- RuntimeFolderError      no runner or libraries for this ABI and HTP arch
    |-- BundleError
    |   |-- BundleMissing       no bundle at the path looked for
    |   |-- BundleMismatch      made for another model, SoC, mode or target
    |   |-- BundleStale         prepared for other case inputs than the spec's
    |   `-- BundleCorrupt       a file is missing, truncated or has another sha256
    |-- CompileError            the model could not be compiled
    `-- RunnerError             the runner ended without a usable report

Each message follows one template (`HarnessError.__str__`); each error keeps what it
knows as attributes, so that code never parses a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXIT_FAILED = 1
EXIT_INFRA = 70
EXIT_INCONCLUSIVE = 75


class HarnessError(Exception):
    """An error a user can act on.

    Args:
        doing: what was being done, without a full stop ("reading specs/a.yaml").
        problem: what is wrong, with the value.
        expected: the range or the known names.
        hint: the exact thing to type or edit next.
        log: a file with the details, when a device or compiler was involved.
    """

    kind = "harness"
    exit_status = EXIT_FAILED

    def __init__(
        self,
        doing: str,
        problem: str,
        *,
        expected: str | None = None,
        hint: str | None = None,
        log: Path | str | None = None,
    ) -> None:
        self.doing = doing
        self.problem = problem
        self.expected = expected
        self.hint = hint
        self.log = log
        super().__init__(doing, problem)

    def __str__(self) -> str:
        lines = [f"{self.doing}: {self.problem}"]
        for label, value in (
            ("expected", self.expected),
            ("hint", self.hint),
            ("log", self.log),
        ):
            if value is not None:
                lines.append(f"  {label + ':':<9} {value}")
        return "\n".join(lines)


@dataclass(frozen=True)
class SpecProblem:
    """One mistake in one spec file."""

    file: Path
    line: int  # 1-based
    column: int  # 1-based
    yaml_path: str  # "$.cases.cat.prompt"
    problem: str
    expected: str | None = None

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.yaml_path}: {self.problem}"
        return text if self.expected is None else f"{text}\n    expected: {self.expected}"


class SpecError(HarnessError):
    """A spec file has one or more mistakes, all of them in `problems`."""

    kind = "spec"

    def __init__(self, path: Path, problems: Sequence[SpecProblem], hint: str | None = None):
        self.path = path
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        listing = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"reading {path}", f"{count}{listing}", hint=hint)


class InputError(HarnessError):
    """A command line, file or folder that the user named cannot be used."""

    kind = "input"


class PhoneInUse(InputError):
    """A virtual phone of that SoC and name runs already; its disk is locked."""


class DeviceError(HarnessError):
    """Infrastructure trouble. Never counts against a model.

    `serial` is None when no particular device was involved.
    """

    kind = "infra"
    exit_status = EXIT_INFRA
    serial: str | None = None

    def on(self, serial: str) -> DeviceError:
        """The same error, told of a device."""
        self.serial = serial
        return self


class AdbError(DeviceError):
    """No adb program, or an adb server that cannot be used."""


class DeviceNotFound(DeviceError):
    """No device with that serial, or no device at all."""


class DeviceNotUsable(DeviceError):
    """The device is listed but offline, unauthorized or not booted."""


class AmbiguousDevice(DeviceError):
    """Several devices are connected and none was named."""


class DeviceMismatch(DeviceError):
    """The device is not the SoC that was asked for."""


class DeviceLost(DeviceError):
    """The device, its cable or the adb server went away while in use."""


class DeviceFull(DeviceError):
    """There is no space left on the device; `needed_bytes` are asked of `free_bytes`."""

    needed_bytes = 0
    free_bytes = 0


class DeviceBusy(DeviceError):
    """Somebody else holds the device's lease: `holder`, for `left_s` seconds at least."""

    holder = ""
    left_s = 0.0


class LeaseLost(DeviceError):
    """Our lease expired and somebody else has taken the device."""


class NoFitPhone(DeviceError):
    """No phone of the bench is what was asked for, or each that is has been quarantined."""


class RunnerKilled(DeviceError):
    """The runner died of SIGKILL: of Android's low-memory killer, or of a person.

    `stderr` is what it had said by then.
    """

    stderr = ""


class TransferCorrupt(DeviceError):
    """A file arrived on the device with other content than was sent."""


class CommandFailed(DeviceError):
    """A command on the device exited non-zero.

    `exit_code`, `stdout` and `stderr` are what the device said.
    """

    exit_code = -1
    stdout = ""
    stderr = ""


class DeadlineExceeded(DeviceError):
    """An operation on a device did not finish in its time.

    `stderr` is what the process on the device had said by then.
    """

    timeout_s = 0.0
    stderr = ""


class RuntimeFolderError(HarnessError):
    """No usable runner or libraries for this ABI and HTP arch."""

    kind = "runtime"


class BundleError(HarnessError):
    """A bundle cannot be used."""

    kind = "bundle"


class BundleMissing(BundleError):
    """There is no bundle at the path looked for."""


class BundleMismatch(BundleError):
    """The bundle was made for another model, SoC, mode or target."""


class BundleStale(BundleError):
    """The bundle's prepared case inputs are not those of the spec."""


class BundleCorrupt(BundleError):
    """A file of the bundle is missing, truncated or has another sha256."""


class CompileError(HarnessError):
    """The model could not be compiled."""

    kind = "compile"


class RunnerError(HarnessError):
    """The runner ended without a usable report.

    `exit_code` is the process's on the device (128 + N for signal N).
    """

    kind = "runner"
    exit_code = -1
    stderr = ""
