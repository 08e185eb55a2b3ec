"""What a rerun costs outside the runner, and what it pushes.

    python benchmarks/rerun_overhead.py [--runs 3] [--cases a,b,c]

Both modes of three cases of `smolvlm_tiny`, with `--pre-gen-pte`: pytest is started once to
fill the virtual phone and then `--runs` times. Overhead is the wall time of the whole command
less that of the runner processes, as the host sees them. From byte code, which the first session
writes and a user's reruns have, whatever the environment says of it. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from context import context

from harness.compile import BundleRequest, compile_bundle
from harness.runtime import find_runtime
from harness.socs import find_soc, specs_dir
from harness.spec import load_spec

ROOT = Path(__file__).resolve().parents[1]


def rerun(bundle: Path, runtime: Path, cases: list[str], byte_code: Path) -> dict[str, float]:
    """One session; seconds and bytes."""
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(byte_code)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    selected = " or ".join(cases)
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "smolvlm and accuracy"]
        command += ["-k", selected, "--soc", "SM8750", "--serial", "virtual"]
        command += ["--pre-gen-pte", str(bundle), "--runtime", str(runtime)]
        started = time.monotonic()
        subprocess.run(
            [*command, f"--junitxml={junit}"],
            cwd=ROOT,
            env=environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall_s = time.monotonic() - started
        tree = ElementTree.parse(junit).getroot()
    values: dict[str, list[float]] = {"runner_s": [], "pushed_bytes": []}
    for item in tree.iter("property"):
        if item.get("name") in values:
            values[str(item.get("name"))].append(float(item.get("value", "nan")))
    runner_s = sum(values["runner_s"])
    return {
        "runs": len(values["runner_s"]),
        "wall_s": round(wall_s, 2),
        "runner_s": round(runner_s, 2),
        "outside_runner_s": round(wall_s - runner_s, 2),
        "pushed_bytes": sum(values["pushed_bytes"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", help="three names, comma-separated; the spec's first three")
    args = parser.parse_args()
    spec = load_spec(specs_dir() / "smolvlm_tiny.yaml")
    soc = find_soc("SM8750")
    bundle = compile_bundle(BundleRequest(spec, soc, "hybrid", "simulator"), None, lambda s: None)
    runtime = find_runtime("x86_64", soc.htp_arch, simulated=True)
    cases = args.cases.split(",") if args.cases else list(spec.cases)[:3]
    with tempfile.TemporaryDirectory() as folder:
        asked = (bundle.dir, runtime.dir, cases, Path(folder))
        first = rerun(*asked)
        reruns = [rerun(*asked) for _ in range(args.runs)]
    print(json.dumps({**context(), "cases": cases, "first": first, "reruns": reruns}, indent=2))


if __name__ == "__main__":
    main()
