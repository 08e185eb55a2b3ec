"""Loads a checkpoint, from a local folder or the hub, through the same calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.processing_utils import ProcessorMixin

from models.errors import ModelError
from models.family import Family


@dataclass(frozen=True)
class Checkpoint:
    """A stock float32 model in eval mode with what prepares its inputs.

    `chat_template` is the tokenizer's, or else the one stored for the processor.
    """

    family: Family
    source: str
    revision: str | None
    config: Any
    model: Any
    tokenizer: Any
    image_processor: Any
    chat_template: str

    @property
    def image_token_id(self) -> int:
        return int(self.config.image_token_id)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Ids that end a reply: those at which transformers' `generate` stops."""
        eos = self.model.generation_config.eos_token_id
        if eos is None:
            eos = self.tokenizer.eos_token_id
        return (int(eos),) if isinstance(eos, int) else tuple(int(token) for token in eos)


def load_checkpoint(family: Family, source: str | Path, revision: str | None = None) -> Checkpoint:
    """Load config, weights (as float32), tokenizer and image processor.

    Args:
        source: a folder, or a hub id such as "HuggingFaceTB/SmolVLM-500M-Instruct".
        revision: branch, tag or commit of a hub id; None for its default, and for a folder.

    Raises:
        ModelError: the checkpoint is of another family or has no chat template.
        OSError: from transformers, when a file is missing or the hub cannot be reached.
    """
    where = str(source)
    config = AutoConfig.from_pretrained(where, revision=revision)
    if config.model_type not in family.model_classes:
        types = ", ".join(family.model_classes)
        raise ModelError(f"{where} is a {config.model_type!r} model", f"{family.name}: {types}")
    model = family.model_classes[config.model_type].from_pretrained(
        where, revision=revision, config=config, dtype=torch.float32
    )
    return assemble_checkpoint(family, where, revision, model.eval())


def assemble_checkpoint(
    family: Family, source: str, revision: str | None, model: Any
) -> Checkpoint:
    """A checkpoint around a model that is loaded already, whatever its weights.

    Raises:
        ModelError: there is no chat template.
    """
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    image_processor = family.image_processor_class.from_pretrained(source, revision=revision)
    template = tokenizer.chat_template or _processor_chat_template(source, revision)
    if template is None:
        raise ModelError(f"{source} has no chat template", "one in the tokenizer or processor")
    return Checkpoint(
        family=family,
        source=source,
        revision=revision,
        config=model.config,
        model=model,
        tokenizer=tokenizer,
        image_processor=image_processor,
        chat_template=template,
    )


def _processor_chat_template(source: str, revision: str | None) -> str | None:
    """The template beside a processor that cannot be constructed without torchvision."""
    stored, _ = ProcessorMixin.get_processor_dict(source, revision=revision)
    return stored.get("chat_template")
