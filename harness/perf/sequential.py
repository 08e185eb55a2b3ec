"""When to look at samples, and how far an interval must reach so that all looks together
err no more often than stated.

Two errors, each with a level of its own. To say FAIL of a model that is as fast as it must
be stops a release: at most 1 % over all looks. To say PASS of one that lies below its floor
by nothing that matters: at most 5 %. An error's budget is spent as a power of the share of
samples taken (Lan and DeMets, Biometrika 70, 1983; the power family of Kim and DeMets,
Biometrika 74, 1987): 3 for FAIL, so that the last look has most of it, which noisy phones
need, and 2 for PASS, which so comes early on a quiet one.

The critical values are not Student's: `benchmarks/nights/critical_values.py` draws them
for the very statistic that `harness.perf.floor` computes, look after look, from normal
samples whose neighbours are correlated by 0.05, which is what a pause of 45 s leaves of a
memory of 15 s to half a minute.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

FAIL_LEVEL = 0.01
PASS_LEVEL = 0.05
FAIL_SPENDING_POWER = 3.0
PASS_SPENDING_POWER = 2.0


class Look(NamedTuple):
    """What a difference must exceed at one look, in standard errors (one-sided)."""

    fail: float
    passing: float


# Clean samples -> critical values. Printed by benchmarks/nights/critical_values.py.
LOOKS = MappingProxyType(
    {
        5: Look(12.28, 5.56),
        8: Look(8.25, 4.36),
        12: Look(4.52, 2.99),
        16: Look(3.52, 2.46),
        20: Look(2.99, 2.13),
    }
)
FEWEST_SAMPLES = min(LOOKS)
MOST_SAMPLES = max(LOOKS)


class BlockLook(NamedTuple):
    """What the probability of the signs must not exceed at one look of a comparison."""

    fail: float
    passing: float


# Blocks -> levels. Each column sums to its level above (Bonferroni over the looks, which no
# dependence between them harms); with n blocks a probability is a multiple of 1 / 2**n.
BLOCK_LOOKS = MappingProxyType(
    {
        6: BlockLook(0.0, 1 / 64),
        8: BlockLook(1 / 256, 4 / 256),
        10: BlockLook(6 / 1024, 19 / 1024),
    }
)
MOST_BLOCKS = max(BLOCK_LOOKS)
