"""Writes and reads every file of a Hugging Face checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from training.family import TinyFamily


@dataclass(frozen=True)
class Checkpoint:
    """Stock model, tokenizer and image processor of one family."""

    family: TinyFamily
    model: Any
    tokenizer: Any
    image_processor: Any


def load_checkpoint(family: TinyFamily, checkpoint_dir: Path) -> Checkpoint:
    """Load a checkpoint folder with `from_pretrained`, float32, evaluation mode."""
    model = family.model_class.from_pretrained(checkpoint_dir, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_dir)
    image_processor = family.image_processor_class.from_pretrained(checkpoint_dir)
    return Checkpoint(family, model.eval(), tokenizer, image_processor)


def save_checkpoint(checkpoint: Checkpoint, out_dir: Path) -> None:
    """Write weights, configs, tokenizer, chat template and image processor to `out_dir`."""
    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(checkpoint.family.end_token),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out_dir)
    # Batches that were encoded before leave their padding behind, and it would be saved.
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(out_dir)
    checkpoint.image_processor.save_pretrained(out_dir)
