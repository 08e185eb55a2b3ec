"""Prompts on the host: chat template, image placeholders, picture tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from models.checkpoint import Checkpoint
from models.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Prompt:
    """What the runner gets.

    `token_ids` holds one image token per image feature, picture after picture in order.
    """

    text: str
    token_ids: tuple[int, ...]
    pixels: torch.Tensor  # (n_images, 3, H, W) float32


def build_prompt(
    checkpoint: Checkpoint, question: str, images: Sequence[Image], image_tokens: int
) -> Prompt:
    """One user turn: the pictures, then the question, then the cue for the reply.

    Args:
        image_tokens: features per picture, the vision encoder's `image_tokens`.

    Raises:
        ModelError: the number of image tokens in the ids is not pictures x `image_tokens`,
            for instance because the question itself holds a placeholder.
    """
    text = prompt_text(checkpoint, question, len(images), image_tokens)
    token_ids = tokenize(checkpoint, text)
    placeholders = token_ids.count(checkpoint.image_token_id)
    if placeholders != len(images) * image_tokens:
        raise ModelError(
            f"{placeholders} image tokens in the prompt {question!r}",
            f"{len(images)} x {image_tokens}",
        )
    return Prompt(text, token_ids, picture_tensors(checkpoint, images))


def prompt_text(checkpoint: Checkpoint, question: str, n_images: int, image_tokens: int) -> str:
    """The chat template's output, each placeholder expanded as the stock processor does.

    Raises:
        ModelError: the template's output does not hold one placeholder per picture.
    """
    content = [{"type": "image"}] * n_images + [{"type": "text", "text": question}]
    templated: str = checkpoint.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=checkpoint.chat_template,
        add_generation_prompt=True,
        tokenize=False,
    )
    placeholder = checkpoint.family.image_token(checkpoint.tokenizer)
    found = templated.count(placeholder)
    if found != n_images:
        raise ModelError(f"{found} x {placeholder} in the prompt {question!r}", str(n_images))
    expansion = checkpoint.family.image_prompt(checkpoint.tokenizer, image_tokens)
    return templated.replace(placeholder, expansion)


def tokenize(checkpoint: Checkpoint, text: str) -> tuple[int, ...]:
    """Ids of a templated prompt.

    Special tokens are added unless the template has written the first one itself, which is
    the rule of transformers' `ProcessorMixin.apply_chat_template`.
    """
    bos = checkpoint.tokenizer.bos_token
    add_special_tokens = bos is None or not text.startswith(bos)
    encoded: Any = checkpoint.tokenizer(text, add_special_tokens=add_special_tokens)
    return tuple(encoded["input_ids"])


def picture_tensors(checkpoint: Checkpoint, images: Sequence[Image]) -> torch.Tensor:
    """Each picture as one tile, (n_images, 3, H, W) float32, H = W = the tower's image size.

    The values are those of the checkpoint's own image processor, called with the family's
    options. For SmolVLM that is `do_image_splitting=False`: the processor scales the longer
    edge to its `size`, then the whole picture to a square of `max_image_size`. So a picture
    that is not square is squeezed, not padded or cropped, and the encoder may take every
    patch as visible. (The global picture that accompanies split tiles is squeezed the same
    way, but resampled once more in between: near, not bit-equal.)

    Raises:
        ModelError: the processor's tile is not the size of the vision encoder.
    """
    size = checkpoint.config.vision_config.image_size
    if not images:
        return torch.zeros(0, 3, size, size)
    features = checkpoint.image_processor(
        images=[image.convert("RGB") for image in images],
        return_tensors="pt",
        **checkpoint.family.image_processor_options,
    )
    pixels: torch.Tensor = features["pixel_values"].reshape(
        -1, *features["pixel_values"].shape[-3:]
    )
    if tuple(pixels.shape) != (len(images), 3, size, size):
        raise ModelError(
            f"picture tensors of shape {tuple(pixels.shape)}", f"({len(images)}, 3, {size}, {size})"
        )
    return pixels.to(torch.float32).contiguous()
