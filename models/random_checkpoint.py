"""A checkpoint of a real configuration with seeded random weights.

For what depends on shapes only: compile times, memory, sizes, speed. Its replies mean
nothing, and are the same on every machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, GenerationConfig
from transformers.initialization import no_init_weights

from models.checkpoint import Checkpoint, assemble_checkpoint
from models.errors import ModelError
from models.family import Family
from models.stand_in import stand_in_tokenizer

_WEIGHT_STD = 0.02
"""Standard deviation of a weight; transformers' default `initializer_range`."""


def random_checkpoint(family: Family, config_dir: Path, seed: int) -> Checkpoint:
    """The stock model of `config_dir/config.json`, float32, each weight from its own seed.

    The chat template, picture and generation settings stand in the same folder, and so may a
    tokenizer; else a stand-in with the right ids is used (`models.stand_in`).

    Raises:
        ModelError: the configuration is of another family, or has no chat template.
    """
    config = AutoConfig.from_pretrained(config_dir)
    if config.model_type not in family.model_classes:
        types = ", ".join(family.model_classes)
        raise ModelError(
            f"{config_dir} is a {config.model_type!r} model", f"{family.name}: {types}"
        )
    with no_init_weights():
        model = family.model_classes[config.model_type](config)
    model.tie_weights()
    fill(model, seed)
    if (config_dir / "tokenizer_config.json").is_file():
        return assemble_checkpoint(family, str(config_dir), None, model.eval())
    return _with_stand_in(family, config_dir, model.eval())


@torch.no_grad()
def fill(module: nn.Module, seed: int) -> None:
    """Seeded values: norms' weights are one, biases zero, all else normal.

    A parameter's values depend on the seed and its name only, not on the other parameters.
    """
    norms = {
        f"{name}.weight" for name, part in module.named_modules() if "Norm" in type(part).__name__
    }
    for name, parameter in module.named_parameters():
        if name in norms:
            parameter.fill_(1.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            parameter.normal_(0.0, _WEIGHT_STD, generator=generator)


def _with_stand_in(family: Family, config_dir: Path, model: Any) -> Checkpoint:
    """Everything from the folder but the tokenizer."""
    template = config_dir / "chat_template.jinja"
    if not template.is_file():
        raise ModelError(f"{config_dir} has no chat template", template.name)
    model.generation_config = GenerationConfig.from_pretrained(config_dir)
    stop = model.generation_config.eos_token_id
    return Checkpoint(
        family=family,
        source=str(config_dir),
        revision=None,
        config=model.config,
        model=model,
        tokenizer=stand_in_tokenizer(
            family.name,
            int(model.config.image_token_id),
            int(stop if isinstance(stop, int) else stop[0]),
        ),
        image_processor=family.image_processor_class.from_pretrained(config_dir),
        chat_template=template.read_text(encoding="utf-8"),
    )
