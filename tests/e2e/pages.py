"""Pages whose commands the tests run, each in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands_of(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    return [line for block in _BLOCK.findall(page.read_text()) for line in block.splitlines()]


def copy_checkout(folder: Path) -> Path:
    """A copy of the project, so that what the commands write does not land in it."""
    skipped = shutil.ignore_patterns(".git", ".tox", ".venv", "__pycache__", ".*_cache")
    return Path(shutil.copytree(ROOT, folder / "checkout", ignore=skipped))


def environment(checkout: Path) -> dict[str, str]:
    """The user's, with `python` and `pytest` of this environment first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(checkout)}


def run_command(command: str, checkout: Path, **variables: str) -> None:
    """Run a line of a page in a copy of the project; it must succeed."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=checkout,
        env={**environment(checkout), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
