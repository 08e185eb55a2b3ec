"""One run in a process of its own: python one_run.py WORKPLACE SERIAL HOST PORT LEASE_S."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.bench.attempts import Attempts
from harness.bench.ledger import Ledger
from harness.bench.phones import Phone, Wish
from harness.bench.pool import LeasedPhone, Pool, PoolOptions
from harness.bundle import load_bundle
from harness.runs import CaseRun, RunRequest, run_case
from harness.runtime import load_runtime


def main(folder: Path, phone: Phone, lease_s: int) -> int:
    """0 if the reply is right."""
    runtime = load_runtime(folder / "runtime")
    bundle = load_bundle(folder / "bundles/toy/SM8750/hybrid")
    request = RunRequest(bundle, "red", "hybrid", 8, 20.0)

    def action(leased: LeasedPhone) -> CaseRun:
        return run_case(leased.device, runtime, request)

    ledger = Ledger(Path(os.environ["VLM_HARNESS_CACHE"]) / "ledger")
    pool = Pool([phone], ledger, PoolOptions(60.0, lease_s))
    return 0 if Attempts(pool).run(Wish(), "one", action).reply == "the shape is red" else 1


if __name__ == "__main__":
    _, folder, serial, host, port, lease_s = sys.argv
    sys.exit(main(Path(folder), Phone(serial, host, int(port)), int(lease_s)))
