"""How often verdicts on simulated nights are wrong.

    python -m benchmarks.nights.table [--nights 10000] [--seed 1] [--workers 2] [--check compare]

Per kind of phone, for the check of a floor and for `--compare-pte`: the shares of nights
that end in FAIL, PASS and undecided when nothing changed, when a tenth was lost, and (floor
only) when the true rate is the floor itself. The floor lies 5 % under the true rate of an
unchanged model. Measured by the harness's own loop, pauses and all. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.nights.phones import Night, Phone, phones
from harness.perf.compare import Side, outcome_of
from harness.perf.floor import decide
from harness.perf.measure import Measurement, Sample, blocks_of, measure, measure_blocks
from harness.perf.plan import Plan

RATE = "decode_tokens_per_s"
TRUE_RATE = 50.0
FLOOR = 0.95 * TRUE_RATE
SPREADS = (0.02, 0.06)
LOSS = 0.9
_FIT_WAIT_S = 600.0
_LOOK_AGAIN_S = 10.0


class NightStand:
    """A simulated phone as the measuring loop sees one."""

    def __init__(self, night: Night, speed: dict[Side, float]) -> None:
        self._night = night
        self._speed = speed

    def now_s(self) -> float:
        return self._night.now_s

    def rest(self, seconds: float) -> None:
        self._night.rest(seconds)

    def wait_until_fit(self) -> str | None:
        waited_s = 0.0
        while self._night.thermal_status > 0:
            if waited_s >= _FIT_WAIT_S:
                return "it stays hot"
            self._night.rest(_LOOK_AGAIN_S)
            waited_s += _LOOK_AGAIN_S
        return None

    def run(self, side: Side) -> Sample:
        run = self._night.run(self._speed[side])
        return Sample({RATE: run.rate}, run.thermal_status > 0, side=side)


@dataclass(frozen=True)
class Row:
    """Outcomes of the nights of one kind: how many, repeats and minutes taken on average."""

    check: str
    truth: str
    phone: Phone
    outcomes: Counter[str]
    repeats: float
    minutes: float

    def share(self, outcome: str) -> float:
        return self.outcomes[outcome] / self.outcomes.total()


def floor_night(phone: Phone, speed: float, seed: str) -> tuple[str, Measurement, float]:
    """One night's check of the floor."""

    def outcome(samples: Sequence[Sample]) -> str:
        return decide([sample.metrics[RATE] or 0.0 for sample in samples], FLOOR).outcome

    night = Night(phone, TRUE_RATE, seed)
    stand = NightStand(night, {"new": speed, "old": 1.0})
    measured = measure(stand, Plan(), lambda clean: outcome(clean) != "undecided")
    return outcome(measured.clean), measured, night.now_s


def comparison_night(phone: Phone, speed: float, seed: str) -> tuple[str, Measurement, float]:
    """One night's comparison of two bundles."""

    def outcome(samples: Sequence[Sample]) -> str:
        return outcome_of(blocks_of(samples, RATE))

    night = Night(phone, TRUE_RATE, seed)
    stand = NightStand(night, {"new": speed, "old": 1.0})
    # A whole comparison is twice as many runs.
    plan = Plan(budget_s=2 * Plan().budget_s)
    measured = measure_blocks(stand, plan, seed, lambda clean: outcome(clean) != "undecided")
    return outcome(measured.samples), measured, night.now_s


CHECKS: dict[str, Callable[[Phone, float, str], tuple[str, Measurement, float]]] = {
    "floor": floor_night,
    "compare": comparison_night,
}
TRUTHS = {
    "floor": {"unchanged": 1.0, "10 % lost": LOSS, "at the floor": 0.95},
    "compare": {"unchanged": 1.0, "10 % lost": LOSS},
}


def simulate(check: str, truth: str, phone: Phone, nights: range, seed: int) -> Row:
    """Many nights of one kind."""
    outcomes: Counter[str] = Counter()
    repeats, seconds = 0, 0.0
    for index in nights:
        name = f"{seed}/{check}/{truth}/{phone.name}/{phone.spread}/{index}"
        outcome, measured, lasted_s = CHECKS[check](phone, TRUTHS[check][truth], name)
        outcomes[outcome] += 1
        repeats += len(measured.samples)
        seconds += lasted_s
    return Row(check, truth, phone, outcomes, repeats / len(nights), seconds / 60 / len(nights))


def rows(nights: int, seed: int, workers: int, checks: Sequence[str]) -> Iterator[Row]:
    """The whole table, or the part of it that is about some checks."""
    tasks = [
        (check, truth, phone)
        for check in checks
        for truth in TRUTHS[check]
        for spread in SPREADS
        for phone in phones(spread)
    ]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(simulate, *task, range(nights), seed) for task in tasks]
        for future in futures:
            yield future.result()


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--check", action="append", choices=tuple(TRUTHS), default=[])
    args = parser.parse_args()
    began_s = time.monotonic()
    print(f"{args.nights} nights per row, seed {args.seed}\n")
    print("| check | truth | phone | spread | FAIL | PASS | undecided | repeats | minutes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows(args.nights, args.seed, args.workers, args.check or tuple(TRUTHS)):
        shares = " | ".join(
            f"{row.share(name):.2%}".replace("%", " %") for name in ("fail", "pass", "undecided")
        )
        print(
            f"| {row.check} | {row.truth} | {row.phone.name} | {row.phone.spread:.0%} | {shares} "
            f"| {row.repeats:.1f} | {row.minutes:.0f} |",
            flush=True,
        )
    print(f"\n{time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
