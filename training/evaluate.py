"""Greedy replies of a checkpoint through the stock Hugging Face classes, and how many are right."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.checkpoint import Checkpoint
from training.questions import Example

MAX_NEW_TOKENS = 16
_BATCH = 100


def encode(checkpoint: Checkpoint, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Model inputs of a batch, prompts padded on the left to one length."""
    family, tokenizer = checkpoint.family, checkpoint.tokenizer
    prompts = [family.prompt_text(tokenizer, example.question) for example in examples]
    tokens = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    images = [[example.image] for example in examples]
    pictures = checkpoint.image_processor(images, return_tensors="pt")
    names = checkpoint.image_processor.model_input_names
    return {
        "input_ids": tokens["input_ids"],
        "attention_mask": tokens["attention_mask"],
        **{name: pictures[name] for name in names},
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
