"""The critical values of `harness.perf.sequential`, drawn anew.

    python -m benchmarks.nights.critical_values [--nights 4000000] [--seed 1]

For each look the value that the statistic of `harness.perf.floor` (centre / standard error)
exceeds in as many nights as the spending rule allows, among the nights that no earlier look
has decided. Samples are normal, of mean 0, neighbours correlated by 0.05. The statistic is
written a second time here, in numpy, for speed; a test holds both against each other.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math

import numpy as np
import numpy.typing as npt

from harness.perf.sequential import (
    FAIL_LEVEL,
    FAIL_SPENDING_POWER,
    LOOKS,
    MOST_SAMPLES,
    PASS_LEVEL,
    PASS_SPENDING_POWER,
)

CORRELATION = 0.05
_CHUNK = 100_000
Array = npt.NDArray[np.float64]


def statistic(samples: Array) -> Array:
    """Centre / standard error of each row; (nights, samples) -> (nights,)."""
    count = samples.shape[1]
    if count >= 8:
        middle = np.median(samples, axis=1, keepdims=True)
        reach = 2.5 * 1.4826 * np.median(abs(samples - middle), axis=1, keepdims=True)
        samples = np.clip(samples, middle - reach, middle + reach)
    return samples.mean(axis=1) / (samples.std(axis=1, ddof=1) / math.sqrt(count))


def draw_statistics(nights: int, seed: int) -> Array:
    """The statistic at each look; (nights, looks)."""
    rng = np.random.default_rng(seed)
    chunks = []
    for begin in range(0, nights, _CHUNK):
        samples = rng.standard_normal((min(_CHUNK, nights - begin), MOST_SAMPLES))
        for index in range(1, MOST_SAMPLES):
            fresh = math.sqrt(1 - CORRELATION**2) * samples[:, index]
            samples[:, index] = CORRELATION * samples[:, index - 1] + fresh
        chunks.append(np.stack([statistic(samples[:, :count]) for count in LOOKS], axis=1))
    return np.concatenate(chunks)


def critical_values(statistics: Array, level: float, power: float) -> list[float]:
    """One value per look."""
    nights = len(statistics)
    undecided = np.ones(nights, dtype=bool)
    values, spent = [], 0.0
    for index, count in enumerate(LOOKS):
        budget = level * (count / MOST_SAMPLES) ** power
        ordered = np.sort(statistics[undecided, index])
        values.append(float(ordered[-round((budget - spent) * nights) - 1]))
        undecided &= statistics[:, index] <= values[-1]
        spent = budget
    return values


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=4_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    statistics = draw_statistics(args.nights, args.seed)
    fail = critical_values(statistics, FAIL_LEVEL, FAIL_SPENDING_POWER)
    passing = critical_values(statistics, PASS_LEVEL, PASS_SPENDING_POWER)
    table = {
        count: [round(f, 2), round(p, 2)] for count, f, p in zip(LOOKS, fail, passing, strict=True)
    }
    print(json.dumps({"nights": args.nights, "seed": args.seed, "fail, passing": table}))


if __name__ == "__main__":
    main()
