"""The pure core starts fast because it loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"adbutils", "executorch", "numpy", "pytest", "scipy", "torch", "transformers"}


@pytest.mark.parametrize(
    "module", ["harness.spec", "harness.verdict", "harness.metrics", "harness.bundle"]
)
def test_import_of_the_core_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(list(sys.modules)))"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded & HEAVY == set()
