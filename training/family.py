"""What the two trained families differ in; `training.families` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from training.pictures import PICTURE_SIZE

PATCH_SIZE = 8
SCALE_FACTOR = 2
IMAGE_TOKENS = (PICTURE_SIZE // PATCH_SIZE // SCALE_FACTOR) ** 2
CONTEXT_TOKENS = 128


@dataclass(frozen=True)
class TinyFamily:
    """One family of small checkpoints, all trained on the same task by the same steps.

    Attributes:
        model_class: the stock transformers class, built from what `build_config` gives.
        image_processor_class: the stock PIL image processor.
        build_tokenizer: trains the tokenizer.
        build_config: geometry, given the tokenizer.
        image_token: placeholder in the chat template's output and in the expanded prompt.
        end_token: ends a reply.
        picture_text: what one placeholder expands to.
        reply_prefix: stands between the prompt and the answer.
        see: picture features as the model's own forward takes them, and the same as
            (pictures * IMAGE_TOKENS, width), of pixels (pictures, 3, 64, 64).
        matrix_names: a parameter whose name holds one of these and that is a matrix is
            trained with Muon.
        nested_pictures: the model's pixels have an axis for the pictures of one prompt.
    """

    name: str
    model_class: type[Any]
    image_processor_class: type[Any]
    build_tokenizer: Callable[[], Any]
    build_config: Callable[[Any], Any]
    build_image_processor: Callable[[], Any]
    image_token: str
    end_token: str
    picture_text: str
    reply_prefix: str
    see: Callable[[Any, torch.Tensor], tuple[Any, torch.Tensor]]
    matrix_names: tuple[str, ...]
    nested_pictures: bool

    def prompt_text(self, tokenizer: Any, question: str) -> str:
        """The prompt the stock processor would make of one picture and one question."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": content}]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return str(text).replace(self.image_token, self.picture_text, 1)

    def reply_text(self, answer: str) -> str:
        """What the model is to say after the prompt."""
        return f"{self.reply_prefix}{answer}{self.end_token}"

    def model_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(pictures, 3, 64, 64) -> the model's `pixel_values`, one picture per prompt."""
        return pixels[:, None] if self.nested_pictures else pixels
