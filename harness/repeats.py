"""A case of a bundle, repeated on a device until what is to be known is decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from harness.device import Device
from harness.device.state import read_state
from harness.metrics import measure_all
from harness.perf.compare import Side
from harness.perf.fitness import PhoneState, is_throttled, unfit_reasons
from harness.perf.measure import Sample
from harness.perf.plan import FitLimits
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime

_LOOK_AGAIN_S = 5.0
_TELL_S = 15.0


@dataclass(frozen=True)
class FitRule:
    """Limits of a phone's state, and how long one may wait for it to keep them, seconds."""

    limits: FitLimits = field(default_factory=FitLimits)
    wait_s: float = 600.0


@dataclass(frozen=True)
class PhoneStand:
    """A device as the measuring loop sees one.

    `requests` has what to run by side. `say` is told what the user should see.
    """

    device: Device
    runtime: Runtime
    requests: Mapping[Side, RunRequest]
    rule: FitRule
    say: Callable[[str], None]

    def now_s(self) -> float:
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait_until_fit(self) -> str | None:
        """Look every 5 s; say every 15 s what is waited for and how long still."""
        end_s = time.monotonic() + self.rule.wait_s
        told_s = -_TELL_S
        while reasons := unfit_reasons(read_state(self.device), self.rule.limits):
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return ", ".join(reasons)
            if time.monotonic() - told_s >= _TELL_S:
                told_s = time.monotonic()
                what = f"  {self.device.serial} is not fit to be measured: {', '.join(reasons)}"
                self.say(f"{what}; waiting, at most {left_s:.0f} s more")
            time.sleep(min(_LOOK_AGAIN_S, left_s))
        return None

    def run(self, side: Side) -> Sample:
        """One process of the runner; warm-ups are not among what it gives."""
        before = read_state(self.device)
        result = run_case(self.device, self.runtime, self.requests[side])
        after = read_state(self.device)
        (iteration,) = result.report.measured
        throttled = is_throttled(before, after)
        if throttled:
            status = max(before.thermal_status or 0, after.thermal_status or 0)
            self.say(f"  throttled (thermal status {status}): this repeat will not count")
        return Sample(
            measure_all(iteration.turns[-1], result.report),
            throttled,
            {"before": _told(before), "after": _told(after)},
            side,
        )


def _told(state: PhoneState) -> dict[str, object]:
    return {name: value for name, value in asdict(state).items() if value is not None}
