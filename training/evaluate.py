"""Greedy replies of a checkpoint through the stock Hugging Face classes, and how many are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil

from training.questions import Example
from training.tokenizer import prompt_text

MAX_NEW_TOKENS = 16
_BATCH = 100


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: stock model, tokenizer and image processor."""

    model: Any
    tokenizer: Any
    image_processor: Any

    @property
    def image_tokens(self) -> int:
        """Embeddings the vision encoder gives for one picture."""
        config = self.model.config
        side = config.vision_config.image_size // config.vision_config.patch_size
        return int((side // config.scale_factor) ** 2)


def load_checkpoint(checkpoint_dir: Path) -> Checkpoint:
    """Load a SmolVLM checkpoint folder with `from_pretrained`, float32, evaluation mode."""
    model = SmolVLMForConditionalGeneration.from_pretrained(checkpoint_dir, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_dir)
    image_processor = SmolVLMImageProcessorPil.from_pretrained(checkpoint_dir)
    return Checkpoint(model.eval(), tokenizer, image_processor)


def encode(checkpoint: Checkpoint, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Model inputs of a batch, prompts padded on the left to one length."""
    questions = [example.question for example in examples]
    tokenizer = checkpoint.tokenizer
    prompts = [prompt_text(tokenizer, text, checkpoint.image_tokens) for text in questions]
    tokens = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    images = [[example.image] for example in examples]
    pictures = checkpoint.image_processor(images, return_tensors="pt")
    return {
        "input_ids": tokens["input_ids"],
        "attention_mask": tokens["attention_mask"],
        "pixel_values": pictures["pixel_values"],
        "pixel_attention_mask": pictures["pixel_attention_mask"],
    }


@torch.inference_mode()
def replies(checkpoint: Checkpoint, examples: Sequence[Example]) -> list[str]:
    """The greedy reply to each example, without its end token and surrounding spaces.

    A reply that does not end within `MAX_NEW_TOKENS` keeps what was generated.
    """
    found = []
    for start in range(0, len(examples), _BATCH):
        batch = encode(checkpoint, examples[start : start + _BATCH])
        generated = checkpoint.model.generate(
            **batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False
        )
        new_ids = generated[:, batch["input_ids"].shape[1] :]
        texts = checkpoint.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
        found += [text.strip() for text in texts]
    return found


def accuracy(checkpoint: Checkpoint, examples: Sequence[Example]) -> float:
    """Share of examples whose whole reply is exactly the answer, 0 to 1."""
    given = replies(checkpoint, examples)
    right = sum(reply == example.answer for reply, example in zip(given, examples, strict=True))
    return right / len(examples)


def with_shuffled_pictures(examples: Sequence[Example]) -> list[Example]:
    """Each question with the picture of the next example: what the question alone is worth."""
    moved = [*examples[1:], examples[0]]
    return [
        Example(example.seed, other.image, example.kind, example.question, example.answer)
        for example, other in zip(examples, moved, strict=True)
    ]
