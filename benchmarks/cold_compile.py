"""How long a cold compile of `smolvlm_tiny` takes, per component and in all.

    python benchmarks/cold_compile.py [--soc SM8750] [--mode hybrid] [--runs 1]

Each run starts with an empty cache of its own. Prints one JSON object.
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

from context import context

ROOT = Path(__file__).resolve().parents[1]


def compile_once(soc: str, mode: str) -> dict[str, object]:
    """Seconds of one compile in an empty cache, as the user's command sees it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        command = [sys.executable, "-m", "harness", "compile", "smolvlm_tiny", "--soc", soc]
        command += ["--mode", mode, "--target", "simulator", "--out", str(out)]
        started = time.monotonic()
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "VLM_HARNESS_CACHE": str(Path(folder) / "cache")},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall_s = time.monotonic() - started
        components = json.loads((out / "manifest.json").read_text())["components"]
    return {
        "wall_s": round(wall_s, 1),
        "component_s": {name: part["compile_s"] for name, part in components.items()},
        "sqnr_db": {name: part["sqnr_db"] for name, part in components.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soc", default="SM8750")
    parser.add_argument("--mode", default="hybrid", choices=("kv", "hybrid"))
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    runs = [compile_once(args.soc, args.mode) for _ in range(args.runs)]
    print(json.dumps({**context(), "soc": args.soc, "mode": args.mode, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
