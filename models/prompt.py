"""Prompts on the host: chat template, image placeholders, picture tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from models.checkpoint import Checkpoint
from models.errors import ModelError
from models.family import TileLayout

if TYPE_CHECKING:
    from PIL.Image import Image

_REPLY = "THE REPLY"
"""Stands for a reply that is not known yet. A letter more or less in it changes nothing."""


@dataclass(frozen=True)
class Turn:
    """What the user says at once: pictures, then a question about them."""

    question: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """What the runner gets for one turn.

    `token_ids` holds one image token per image feature, tile after tile in order; in a later
    turn only what is new after the stop token of the reply before.
    """

    text: str
    token_ids: tuple[int, ...]
    pixels: torch.Tensor  # (n_tiles, 3, H, W) float32


def build_prompt(
    checkpoint: Checkpoint,
    question: str,
    images: Sequence[Image],
    image_tokens: int,
    splitting: bool = False,
) -> Prompt:
    """A conversation's only turn; see `build_prompts`."""
    return build_prompts(checkpoint, [Turn(question, tuple(images))], image_tokens, splitting)[0]


def build_prompts(
    checkpoint: Checkpoint, turns: Sequence[Turn], image_tokens: int, splitting: bool = False
) -> list[Prompt]:
    """Each turn: the pictures, then the question, then the cue for the reply.

    Args:
        image_tokens: features per tile, the vision encoder's `image_tokens`.
        splitting: cut pictures into tiles, beside the whole picture, as the stock processor
            does when asked to; else the whole picture is the only tile.

    Raises:
        ModelError: the number of image tokens in the ids is not tiles x `image_tokens`, for
            instance because the question itself holds a placeholder; or the chat template
            does not allow a further turn to be appended.
    """
    prompts = []
    for turn, text in zip(turns, turn_texts(checkpoint, turns), strict=True):
        pixels, layouts = picture_tiles(checkpoint, turn.images, splitting)
        expanded = expand_placeholders(checkpoint, text, layouts, image_tokens)
        token_ids = tokenize(checkpoint, expanded, begins=not prompts)
        found = token_ids.count(checkpoint.image_token_id)
        if found != len(pixels) * image_tokens:
            raise ModelError(
                f"{found} image tokens in the prompt {turn.question!r}",
                f"{len(pixels)} x {image_tokens}",
            )
        prompts.append(Prompt(expanded, token_ids, pixels))
    return prompts


def turn_texts(checkpoint: Checkpoint, turns: Sequence[Turn]) -> list[str]:
    """The chat template's output for each turn, one placeholder per picture.

    In a later turn what follows the stop token of the reply before it, which is the same
    whatever the reply.

    Raises:
        ModelError: the template writes earlier turns differently once there are later ones,
            or ends a reply with no stop token.
    """
    texts: list[str] = []
    messages: list[dict[str, Any]] = []
    before = ""
    for turn in turns:
        pictures = [{"type": "image"}] * len(turn.images)
        content = [*pictures, {"type": "text", "text": turn.question}]
        messages.append({"role": "user", "content": content})
        whole: str = checkpoint.tokenizer.apply_chat_template(
            messages,
            chat_template=checkpoint.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        texts.append(_text_after_reply(checkpoint, before, whole) if texts else whole)
        messages.append({"role": "assistant", "content": [{"type": "text", "text": _REPLY}]})
        before = whole
    return texts


def _text_after_reply(checkpoint: Checkpoint, before: str, whole: str) -> str:
    """What `whole` says beyond `before`, a reply and its stop token."""
    head, _, tail = whole.rpartition(_REPLY)
    if head.rstrip() != before.rstrip():
        raise ModelError("a chat template that rewrites earlier turns", "one that appends to them")
    for token in checkpoint.tokenizer.convert_ids_to_tokens(list(checkpoint.stop_token_ids)):
        if tail.startswith(token):
            return tail[len(token) :]
    raise ModelError(f"a chat template that ends a reply with {tail[:20]!r}", "a stop token")


def expand_placeholders(
    checkpoint: Checkpoint, text: str, layouts: Sequence[TileLayout], image_tokens: int
) -> str:
    """Each placeholder replaced as the stock processor does.

    Raises:
        ModelError: the text does not hold one placeholder per picture.
    """
    family, tokenizer = checkpoint.family, checkpoint.tokenizer
    placeholder = family.image_token(tokenizer)
    pieces = text.split(placeholder)
    if len(pieces) - 1 != len(layouts):
        raise ModelError(
            f"{len(pieces) - 1} x {placeholder} in the prompt {text!r}", str(len(layouts))
        )
    expansions = [family.image_prompt(tokenizer, image_tokens, layout) for layout in layouts]
    return "".join(a + b for a, b in zip(pieces, [*expansions, ""], strict=True))


def tokenize(checkpoint: Checkpoint, text: str, begins: bool = True) -> tuple[int, ...]:
    """Ids of a templated prompt.

    Special tokens are added where a conversation begins, unless the template has written the
    first one itself: the rule of transformers' `ProcessorMixin.apply_chat_template`.
    """
    bos = checkpoint.tokenizer.bos_token
    add_special_tokens = begins and (bos is None or not text.startswith(bos))
    encoded: Any = checkpoint.tokenizer(text, add_special_tokens=add_special_tokens)
    return tuple(encoded["input_ids"])


def picture_tiles(
    checkpoint: Checkpoint, images: Sequence[Image], splitting: bool = False
) -> tuple[torch.Tensor, list[TileLayout]]:
    """Tiles (n_tiles, 3, H, W) float32 of all pictures, H = W = the tower's image size.

    The values are those of the checkpoint's own image processor. Without splitting it scales
    the whole picture to one square tile: a picture that is not square is squeezed, not padded
    or cropped, so that the encoder may take every patch as visible. With splitting the tiles
    of each picture come row by row and then the whole picture; a small one stays one tile.

    Raises:
        ModelError: the processor's tile is not the size of the vision encoder.
    """
    size = _image_side(checkpoint.config.vision_config.image_size)
    if not images:
        return torch.zeros(0, 3, size, size), []
    features = checkpoint.image_processor(
        images=[image.convert("RGB") for image in images],
        return_tensors="pt",
        **checkpoint.family.image_processor_options,
        **{checkpoint.family.splitting_option: splitting},
    )
    layouts = checkpoint.family.tile_layouts(features)
    stacked = features["pixel_values"]
    pixels: torch.Tensor = stacked.reshape(-1, *stacked.shape[-3:])
    expected = (sum(layout.tiles for layout in layouts), 3, size, size)
    if tuple(pixels.shape) != expected:
        raise ModelError(f"picture tensors of shape {tuple(pixels.shape)}", str(expected))
    return pixels.to(torch.float32).contiguous(), layouts


def _image_side(size: int | Sequence[int]) -> int:
    """Pixels per side of a square picture, which some configs give as a pair."""
    return size if isinstance(size, int) else size[0]
