"""What a model family has to say about itself; `models.registry` lists the families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch


class VisionEncoder(Protocol):
    """Pixels float32 (1, 3, H, W) -> float32 (1, image_tokens, dim)."""

    @property
    def image_tokens(self) -> int: ...

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor: ...

    def example_inputs(self) -> tuple[torch.Tensor]: ...


@dataclass(frozen=True)
class Family:
    """One row of the registry.

    Attributes:
        model_classes: config `model_type` -> the stock transformers class with vision tower,
            decoder and head. More than one when a family's checkpoints were published under
            several types.
        image_processor_class: a PIL image processor, by name and not through
            `AutoImageProcessor`, whose choice (and so the pixels) depends on torchvision.
        image_processor_options: given with every picture, over the checkpoint's defaults.
        build_vision_encoder: the static encoder of a loaded model.
        text_model: the decoder inside a loaded model, without its head.
        image_token: the placeholder token, given the tokenizer.
        image_prompt: the text that one placeholder expands to, given the tokenizer and the
            number of image tokens.
    """

    name: str
    model_classes: Mapping[str, type[Any]]
    image_processor_class: type[Any]
    build_vision_encoder: Callable[[Any], Any]
    text_model: Callable[[Any], Any]
    image_token: Callable[[Any], str]
    image_prompt: Callable[[Any, int], str]
    image_processor_options: Mapping[str, Any] = field(default_factory=dict)
