"""What every figure is printed with: commit, machine, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def context() -> dict[str, object]:
    """Commit (with a mark if files differ from it), cores, load, Python, command."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": "python " + " ".join(sys.argv),
        "commit": described.stdout.strip() or None,
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
