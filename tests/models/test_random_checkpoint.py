"""Random weights of a real configuration: reproducible, and usable like a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import GenerationConfig

from models.components import build_components
from models.errors import ModelError
from models.prompt import build_prompt
from models.random_checkpoint import random_checkpoint
from models.registry import find_family
from tests.models.geometries import Geometry, random_model, random_tokenizer, save_checkpoint

FAMILIES = {"smolvlm": Geometry(), "internvl3": Geometry("internvl_qwen2")}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config_dir(family: str, tmp_path: Path) -> Path:
    """A folder without weights and tokenizer, its special ids behind those of the stand-in."""
    geometry = FAMILIES[family]
    save_checkpoint(geometry, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).unlink()
    config = random_model(geometry, random_tokenizer(geometry)).config
    config.image_token_id = 290
    config.save_pretrained(tmp_path)
    GenerationConfig(eos_token_id=291).save_pretrained(tmp_path)
    return tmp_path


def values(family: str, folder: Path, seed: int) -> torch.Tensor:
    model = random_checkpoint(find_family(family), folder, seed).model
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_random_checkpoint_same_seed_same_weights(family: str, config_dir: Path) -> None:
    assert torch.equal(values(family, config_dir, 0), values(family, config_dir, 0))


def test_random_checkpoint_other_seed_other_weights(family: str, config_dir: Path) -> None:
    assert not torch.equal(values(family, config_dir, 0), values(family, config_dir, 1))


def test_random_checkpoint_without_tokenizer_builds_prompts(family: str, config_dir: Path) -> None:
    checkpoint = random_checkpoint(find_family(family), config_dir, 0)
    components = build_components(checkpoint, 160)
    tokens = components.vision_encoder.image_tokens
    prompt = build_prompt(checkpoint, "why?", [Image.new("RGB", (40, 30))], tokens)
    assert prompt.token_ids.count(290) == tokens
    assert checkpoint.stop_token_ids == (291,)
    assert max(prompt.token_ids) < 300
    assert tuple(components.vision_encoder(prompt.pixels).shape[1:]) == (tokens, 128)


def test_random_checkpoint_takes_the_tokenizer_beside_the_config(tmp_path: Path) -> None:
    save_checkpoint(Geometry(), tmp_path)
    checkpoint = random_checkpoint(find_family("smolvlm"), tmp_path, 0)
    assert checkpoint.tokenizer.bos_token == "<|im_start|>"
    assert checkpoint.tokenizer.image_token == "<image>"


def test_random_checkpoint_image_token_among_the_bytes_is_refused(
    family: str, config_dir: Path
) -> None:
    text = (
        (config_dir / "config.json")
        .read_text()
        .replace('"image_token_id": 290', '"image_token_id": 7')
    )
    (config_dir / "config.json").write_text(text)
    with pytest.raises(ModelError, match="special tokens"):
        random_checkpoint(find_family(family), config_dir, 0)
