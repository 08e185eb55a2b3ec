"""Every command of docs/new-model.md works.

By default those that compile nothing; the environment `new-model` of tox.ini runs them all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.e2e.pages import ROOT, commands_of, copy_checkout, run_command

COMMANDS = commands_of(ROOT / "docs" / "new-model.md")
WHOLE_PAGE = os.environ.get("VLM_WHOLE_PAGE") == "1"
BUNDLE = "qwen3-bundle"


def test_commands_work_in_the_order_of_the_page(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    for command in COMMANDS:
        if WHOLE_PAGE or BUNDLE not in command:
            run_command(command, checkout)
    if WHOLE_PAGE:
        check_bundle(checkout / BUNDLE)


def test_page_compiles_the_model_it_describes() -> None:
    compiling = [command for command in COMMANDS if BUNDLE in command]
    assert [command.split()[3] for command in compiling] == ["compile", "inspect"]
    (spec,) = (word for word in compiling[0].split() if word.endswith(".yaml"))
    text_config = json.loads((ROOT / spec).with_name("qwen3").joinpath("config.json").read_text())
    assert text_config["text_config"]["model_type"] == "qwen3"


def check_bundle(folder: Path) -> None:
    """Each component is near the float model on the simulator, and both graphs are there."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, component in manifest["components"].items():
        assert component["sqnr_db"] > 25.0, name
    methods = set(manifest["components"]["text_decoder"]["methods"])
    assert methods == {"kv_forward", "prefill_forward"}
