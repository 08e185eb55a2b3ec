"""What specs cost: the import of the pure core beside pydantic's own, and validation.

    python benchmarks/spec_cost.py [--runs 9]

The ratio is of CPU time, import by import in turn, so that a busy machine hardly matters.
Both are imported from byte code, as pydantic's always is, whatever the environment says of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from context import ROOT, context

from harness.spec import load_spec

SPECS = 200
_TIMED = "import time; begin = time.process_time()\n{}\nprint(time.process_time() - begin)"
_PYDANTIC = """
from pydantic import BaseModel
class Model(BaseModel):
    number: int
Model.model_validate({"number": 1})
"""
_CORE = "import harness.spec, harness.metrics, harness.verdict, harness.accuracy_verdicts"


def import_cpu_s(code: str, byte_code_dir: str) -> float:
    """CPU seconds of some imports in a fresh Python."""
    command = [sys.executable, "-c", _TIMED.format(code)]
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": byte_code_dir}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return float(subprocess.check_output(command, cwd=ROOT, env=environ))


def import_pairs(runs: int) -> list[tuple[float, float]]:
    """CPU seconds of pydantic and of the core, in turn; the first pair compiles, not counted."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            (import_cpu_s(_PYDANTIC, folder), import_cpu_s(_CORE, folder)) for _ in range(runs + 1)
        ]
    return pairs[1:]


def validation_cpu_s() -> float:
    """CPU seconds for `SPECS` files, copies of smolvlm_tiny's, each read for the first time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "specs", folder / "specs")
        (folder / "models").symlink_to(ROOT / "models")
        paths = [folder / "specs" / f"spec_{number}.yaml" for number in range(SPECS)]
        for path in paths:
            shutil.copy(ROOT / "specs" / "smolvlm_tiny.yaml", path)
        begin = time.process_time()
        for path in paths:
            load_spec(path)
        return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    pairs = import_pairs(runs)
    lines = (ROOT / "specs" / "smolvlm_tiny.yaml").read_text().count("\n")
    result = {
        **context(),
        "import_pydantic_cpu_s": [round(pydantic, 3) for pydantic, _ in pairs],
        "import_core_cpu_s": [round(core, 3) for _, core in pairs],
        "ratio_median": round(statistics.median(core / base for base, core in pairs), 3),
        "specs": SPECS,
        "lines_per_spec": lines,
        "validation_cpu_s": round(validation_cpu_s(), 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
