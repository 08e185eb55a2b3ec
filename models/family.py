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
class TileLayout:
    """What one picture became: so many tiles, and the grid that all but the last came from.

    `rows` and `cols` are 0 if it was not split, or if the prompt does not name them.
    """

    tiles: int
    rows: int = 0
    cols: int = 0


@dataclass(frozen=True)
class Family:
    """One row of the registry.

    Attributes:
        model_classes: config `model_type` -> the stock transformers class with vision tower,
            decoder and head. More than one when a family's checkpoints were published under
            several types.
        image_processor_class: a PIL image processor, by name and not through
            `AutoImageProcessor`, whose choice (and so the pixels) depends on torchvision.
        splitting_option: the image processor's option that splits a picture into tiles.
        tile_layouts: per picture its layout, from what the image processor returned.
        build_vision_encoder: the static encoder of a loaded model.
        text_model: the decoder inside a loaded model, without its head.
        image_token: the placeholder token, given the tokenizer.
        image_prompt: the text that one placeholder expands to, given the tokenizer, the
            number of image tokens per tile and the picture's layout.
        nested_pictures: the stock model's pixels have an axis for the tiles of one prompt.
        image_processor_options: given with every picture, over the checkpoint's defaults.
    """

    name: str
    model_classes: Mapping[str, type[Any]]
    image_processor_class: type[Any]
    build_vision_encoder: Callable[[Any], Any]
    text_model: Callable[[Any], Any]
    image_token: Callable[[Any], str]
    image_prompt: Callable[[Any, int, TileLayout], str]
    splitting_option: str
    tile_layouts: Callable[[Any], list[TileLayout]]
    nested_pictures: bool
    image_processor_options: Mapping[str, Any] = field(default_factory=dict)
