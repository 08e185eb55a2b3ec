"""A rerun where only the core is installed: no torch, no transformers, no executorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.bundle import Bundle
from harness.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def core_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the core's dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--editable", ROOT], check=True)
    return python


def rerun(python: Path, tmp_path: Path, *arguments: str) -> ElementTree.Element:
    """Run the product's tests; returns the JUnit tree."""
    junit = tmp_path / "junit.xml"
    command = [python, "-m", "pytest", "-m", "smolvlm", "--soc", "SM8750", "--serial", "virtual"]
    done = subprocess.run(
        [*command, f"--junitxml={junit}", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ElementTree.parse(junit).getroot()


def test_heavy_packages_are_absent(core_python: Path) -> None:
    code = (
        "from importlib.util import find_spec\n"
        "print([n for n in ('torch', 'transformers', 'executorch') if find_spec(n)])"
    )
    done = subprocess.run([core_python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_second_rerun_passes_and_pushes_nothing(
    core_python: Path, tiny_bundle: Bundle, runtime: Runtime, tmp_path: Path
) -> None:
    given = ["--pre-gen-pte", str(tiny_bundle.dir), "--runtime", str(runtime.dir)]
    rerun(core_python, tmp_path, *given)
    tree = rerun(core_python, tmp_path, *given)
    pushed = [
        int(float(item.get("value", "-1")))
        for item in tree.iter("property")
        if item.get("name") == "pushed_bytes"
    ]
    assert len(pushed) >= 6
    assert set(pushed) == {0}
