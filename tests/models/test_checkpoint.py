"""Loading: a folder through the same calls as a hub id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import load_checkpoint
from models.errors import ModelError
from models.registry import FAMILIES, find_family

MakeCheckpoint = Callable[..., Path]


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_load_checkpoint_half_precision_weights_become_float32(
    make_checkpoint_dir: MakeCheckpoint,
) -> None:
    folder = make_checkpoint_dir(dtype=torch.bfloat16)
    checkpoint = load_checkpoint(find_family("smolvlm"), folder)
    assert {parameter.dtype for parameter in checkpoint.model.parameters()} == {torch.float32}
    assert not checkpoint.model.training


def test_load_checkpoint_template_only_beside_the_processor_is_found(
    make_checkpoint_dir: MakeCheckpoint,
) -> None:
    folder = make_checkpoint_dir()
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_checkpoint(find_family("smolvlm"), folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "processor_config.json").write_text("{}")
    assert load_checkpoint(find_family("smolvlm"), folder).chat_template == template


def test_load_checkpoint_of_another_family_is_refused(
    make_checkpoint_dir: MakeCheckpoint,
) -> None:
    folder = make_checkpoint_dir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    with pytest.raises(ModelError, match="'qwen2' model; expected smolvlm: smolvlm, idefics3"):
        load_checkpoint(find_family("smolvlm"), folder)


def test_load_checkpoint_stop_ids_are_those_of_generation_config(
    make_checkpoint_dir: MakeCheckpoint,
) -> None:
    folder = make_checkpoint_dir()
    edit_json(folder / "generation_config.json", eos_token_id=[7, 9])
    assert load_checkpoint(find_family("smolvlm"), folder).stop_token_ids == (7, 9)


def test_load_checkpoint_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        load_checkpoint(find_family("smolvlm"), tmp_path / "absent")


def test_find_family_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ModelError, match=f"'smolvln'; expected one of {', '.join(sorted(FAMILIES))}"
    ):
        find_family("smolvln")
