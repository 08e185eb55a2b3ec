"""Every command of docs/new-model.md works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.pages import ROOT, commands_of, copy_checkout, run_command

COMMANDS = commands_of(ROOT / "docs" / "new-model.md")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the page's commands have been run."""
    copy = copy_checkout(tmp_path_factory.mktemp("new_model"))
    for command in COMMANDS:
        run_command(command, copy)
    return copy


def test_bundle_of_the_page_is_near_the_float_model(checkout: Path) -> None:
    (folder,) = checkout.glob("qwen3-bundle")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, component in manifest["components"].items():
        assert component["sqnr_db"] > 25.0, name
    assert set(manifest["components"]["text_decoder"]["methods"]) == {
        "kv_forward",
        "prefill_forward",
    }
