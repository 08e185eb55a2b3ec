"""The example workflow and the guide say what tox and the commands are."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import yaml

from harness.cli import _COMMANDS

ROOT = Path(__file__).parents[2]


def test_example_workflow_runs_the_night_of_tox_and_tells_its_summary() -> None:
    workflow = yaml.safe_load((ROOT / "docs/nightly.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["night"]["steps"]]
    assert any(step.startswith("tox -e nightly") for step in steps)
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert "VLM_JOURNAL" in workflow["jobs"]["night"]["env"]
    assert "VLM_JOURNAL" in tox["testenv:nightly"]["pass_env"]
    assert "harness night-summary" in tox["testenv:nightly"]["commands"]


def test_guide_names_commands_that_there_are() -> None:
    text = (ROOT / "docs/nightly.md").read_text() + (ROOT / "docs/nightly.yml").read_text()
    named = set(re.findall(r"python -m harness ([\w-]+)", text))
    assert named == {"night-summary", "suggest-thresholds"}
    assert named <= set(_COMMANDS)
