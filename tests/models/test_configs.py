"""The committed configurations: geometry of the published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from harness.vocabulary import FamilyName
from models.registry import FAMILIES

CONFIGS_DIR = Path(__file__).resolve().parents[2] / "models" / "configs"
PARAMETERS = {
    "SmolVLM-256M-Instruct": 256_484_928,
    "SmolVLM-500M-Instruct": 507_482_304,
    "InternVL3-1B-hf": 938_193_024,
    "InternVL3_5-1B-HF": 1_060_897_792,
}
# layers, query heads, key heads, width, feed-forward, vocabulary of the decoder
DECODERS = {
    "SmolVLM-256M-Instruct": (30, 9, 3, 576, 1536, 49280),
    "SmolVLM-500M-Instruct": (32, 15, 5, 960, 2560, 49280),
    "InternVL3-1B-hf": (24, 14, 2, 896, 4864, 151674),
    "InternVL3_5-1B-HF": (28, 16, 8, 1024, 3072, 151936),
}


def test_every_configuration_is_checked() -> None:
    assert {path.parent.name for path in CONFIGS_DIR.glob("*/config.json")} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_configuration_has_the_parameters_of_the_published_model(name: str) -> None:
    config = AutoConfig.from_pretrained(CONFIGS_DIR / name)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", DECODERS)
def test_configuration_has_the_decoder_of_the_published_model(name: str) -> None:
    text = AutoConfig.from_pretrained(CONFIGS_DIR / name).text_config
    assert DECODERS[name] == (
        text.num_hidden_layers,
        text.num_attention_heads,
        text.num_key_value_heads,
        text.hidden_size,
        text.intermediate_size,
        text.vocab_size,
    )


def test_specs_know_the_families_there_are() -> None:
    assert set(get_args(FamilyName)) == set(FAMILIES)
