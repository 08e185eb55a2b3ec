"""How well eight phones are kept busy: 128 runs of a stub that sleeps 2 s.

    python benchmarks/pool.py [--phones 8] [--runs 128] [--alone 16] [--sleep 2]

Real pytest sessions with pytest-xdist on virtual phones behind one private adb server. Times
are from the first lease to the last release, as the phones themselves saw them (the first
`take` and the last `release` in their logs). `ratio` is the eight phones' time over an eighth
of one phone's; that one's is measured over `--alone` runs and scaled to `--runs`.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from context import context

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
_STAMP = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) INFO open .*harness (take|release) "
)


def lease_span_s(logs: list[Path]) -> float:
    """Seconds from the first lease to the last release in the phones' logs."""
    times = []
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            found = _STAMP.match(line)
            if found:
                moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S")
                times.append(moment.timestamp() + int(found[2]) / 1000)
    return max(times) - min(times)


def session(folder: Path, phones: int, runs: int, sleep_s: float) -> float:
    """One session on so many phones; its span in seconds."""
    from tests.front.lab import open_lab
    from tests.front.workplace import Workplace, case, reply

    work = Workplace(folder / "work")
    work.write_spec(cases={f"case{n}": case(f"Which colour, {n}?") for n in range(runs)})
    work.write_bundle(target="simulator")
    work.write_runtime(reply("the shape is red", sleep_s=sleep_s))
    os.environ["VLM_HARNESS_CACHE"] = str(folder / "cache")
    with open_lab(folder / "lab", (phones,)) as lab:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "accuracy", *work.args, *lab.args]
        command += ["-n", "auto"] if phones > 1 else []
        junit = folder / "junit.xml"
        subprocess.run(
            [*command, f"--junitxml={junit}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        assert junit.read_text().count("<testcase ") == runs
        return lease_span_s([phone.log_path for phone in lab.phones])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=8)
    parser.add_argument("--runs", type=int, default=128)
    parser.add_argument("--alone", type=int, default=16)
    parser.add_argument("--sleep", type=float, default=2.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone_s = session(folder / "one", 1, args.alone, args.sleep) * args.runs / args.alone
        together_s = session(folder / "all", args.phones, args.runs, args.sleep)
    result = {
        "phones": args.phones,
        "runs": args.runs,
        "one_phone_s": round(alone_s, 2),
        "all_phones_s": round(together_s, 2),
        "ratio": round(together_s / (alone_s / args.phones), 3),
    }
    print(json.dumps({**context(), **result}, indent=2))


if __name__ == "__main__":
    main()
