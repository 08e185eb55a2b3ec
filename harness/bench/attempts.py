"""Doing something on a phone, again on another one if the first gives trouble.

Only trouble of the bench is repeated. What the runner or the model does wrong, it does wrong
once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.bench.evidence import Evidence
from harness.bench.phones import Phone, Wish
from harness.bench.pool import LeasedPhone, Pool
from harness.device import RunPlan
from harness.errors import (
    DeadlineExceeded,
    DeviceError,
    HarnessError,
    NoFitPhone,
    RunnerError,
    RunnerKilled,
)

_Made = TypeVar("_Made")

KILLED = 128 + 9


@dataclass(frozen=True)
class Attempts:
    """How often, on which phones, and where to put what a failure leaves behind."""

    pool: Pool
    retries: int = 2
    evidence: Evidence | None = None

    def run(
        self,
        wish: Wish,
        subject: str,
        action: Callable[[LeasedPhone], _Made],
        plan: RunPlan | None = None,
    ) -> _Made:
        """What `action` gives on a leased phone that will do.

        On a DeviceError it is tried again, `retries` times, on another phone if one is
        there, else on the same when it is back. Raises the last error, which then tells of
        the earlier ones.

        Args:
            wish: which phones will do.
            subject: what is run, for the evidence's folder.
            action: called once per attempt.
            plan: what `action` runs, so that the evidence can say how to repeat it by hand.
        """
        failed: list[Phone] = []
        errors: list[DeviceError] = []
        while True:
            try:
                with self.pool.lease(wish, avoid=failed) as leased:
                    try:
                        return self._once(leased, subject, action, plan)
                    except DeviceError:
                        failed.append(leased.phone)
                        raise
            except DeviceError as err:
                if isinstance(err, NoFitPhone) and errors:
                    raise _told(errors[-1], errors[:-1]) from err
                errors.append(err)
                if len(failed) < len(errors) or not self._try_again(err, errors):
                    raise _told(err, errors[:-1]) from err

    def _try_again(self, error: DeviceError, errors: list[DeviceError]) -> bool:
        # A run without end took all the time it had: once more is enough.
        limit = min(1, self.retries) if isinstance(error, DeadlineExceeded) else self.retries
        return len(errors) <= limit

    def _once(
        self,
        leased: LeasedPhone,
        subject: str,
        action: Callable[[LeasedPhone], _Made],
        plan: RunPlan | None,
    ) -> _Made:
        started = time.monotonic()
        try:
            try:
                made = action(leased)
            except RunnerError as err:
                if err.exit_code == KILLED:
                    raise _killed(leased, err) from err
                raise
            leased.check()
        except HarnessError as err:
            self._collect(leased, subject, err, time.monotonic() - started, plan)
            if isinstance(err, DeviceError):
                self.pool.note_trouble(leased.phone, err)
            raise
        self.pool.note_run(leased.phone)
        return made

    def _collect(
        self,
        leased: LeasedPhone,
        subject: str,
        error: HarnessError,
        elapsed_s: float,
        plan: RunPlan | None,
    ) -> None:
        if self.evidence is not None and isinstance(error, DeviceError | RunnerError):
            folder = self.evidence.collect(leased, subject, error, elapsed_s, plan)
            error.log = error.log or folder


def _killed(leased: LeasedPhone, err: RunnerError) -> RunnerKilled:
    serial = leased.phone.serial
    error = RunnerKilled(
        f"running on {serial}",
        f"something killed the runner with signal 9: {err.problem}",
        hint="low memory? See logcat.txt for lowmemorykiller",
    )
    error.serial, error.stderr = serial, err.stderr
    return error


def _told(error: DeviceError, earlier: list[DeviceError]) -> DeviceError:
    """The error, with a line for each attempt before it."""
    if earlier:
        lines = "".join(f"\n    | {type(e).__name__} {e.problem.splitlines()[0]}" for e in earlier)
        error.problem += f"; {len(earlier)} attempts before it failed, too:{lines}"
    return error
