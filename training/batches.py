"""Training batches: pictures, and several questions about each packed into one sequence.

A packed sequence is the prompt up to the picture's end (the prefix), followed by one slot per
question: question, turn markers and reply. Each slot sees the prefix and itself and counts its
positions from the prefix's end, so that the model computes exactly what it would for one question
alone, while picture and prefix are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import GPT2Tokenizer

from training.pictures import (
    BACKGROUNDS,
    COLORS,
    PICTURE_SIZE,
    SHAPES,
    TRAINING_SEEDS,
    Scene,
    draw_picture,
)
from training.questions import ask_several, every_sentence
from training.tokenizer import IMAGE_TOKEN, prompt_text, reply_text

IGNORED_LABEL = -100
# Per image token: shape or none, colour or none, background, whether a shape's centre lies here.
CELL_CLASSES = (len(SHAPES) + 1, len(COLORS) + 1, len(BACKGROUNDS), 2)
_GRID = 4


def pixels_of(image: object) -> np.ndarray:
    """What the image processor makes of a 64 x 64 RGB picture: (3, 64, 64) float32 in [-1, 1]."""
    values = np.asarray(image, dtype=np.float32)
    return np.ascontiguousarray((values / 127.5 - 1.0).transpose(2, 0, 1))


def cells_of(scene: Scene) -> np.ndarray:
    """What each image token's square of the picture shows: (16, 4) int64, see `CELL_CLASSES`."""
    side = PICTURE_SIZE / _GRID
    centers = (np.arange(_GRID) + 0.5) * side
    cells = np.zeros((_GRID, _GRID, len(CELL_CLASSES)), dtype=np.int64)
    cells[..., 2] = list(BACKGROUNDS).index(scene.background)
    nearest = np.full((_GRID, _GRID), np.inf)
    for item in scene.items:
        distance = np.hypot(centers[None, :] - item.x, centers[:, None] - item.y)
        covered = (distance < item.radius + 2) & (distance < nearest)
        nearest[covered] = distance[covered]
        cells[covered, 0] = 1 + SHAPES.index(item.shape)
        cells[covered, 1] = 1 + list(COLORS).index(item.color)
        cells[int(item.y // side), int(item.x // side), 3] = 1
    return cells.reshape(_GRID * _GRID, len(CELL_CLASSES))


@dataclass(frozen=True)
class Layout:
    """How prompts are packed: `prefix_ids` once, then `slots` slots of `slot_width` tokens."""

    prefix_ids: tuple[int, ...]
    slots: int
    slot_width: int

    @property
    def length(self) -> int:
        return len(self.prefix_ids) + self.slots * self.slot_width

    def position_ids(self) -> torch.Tensor:
        """(1, length) int64."""
        prefix = torch.arange(len(self.prefix_ids))
        slot = torch.arange(self.slot_width) + len(self.prefix_ids)
        return torch.cat([prefix, slot.repeat(self.slots)])[None]

    def attention_mask(self) -> torch.Tensor:
        """(1, 1, length, length) bool, true where the row may look at the column."""
        start = len(self.prefix_ids)
        mask = torch.ones(self.length, self.length, dtype=torch.bool).tril()
        slot_of = torch.arange(self.length - start) // self.slot_width
        mask[start:, start:] &= slot_of[:, None] == slot_of[None, :]
        return mask[None, None]


class PackedPictures(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Item `i` is batch `i`: pixels (B, 3, 64, 64), input ids (B, length), labels (B, length).

    Batch `i` uses the `i`-th block of the training seeds, whatever process makes it.
    """

    def __init__(
        self, tokenizer: GPT2Tokenizer, image_tokens: int, batches: int, pictures: int, slots: int
    ) -> None:
        self._tokenizer = tokenizer
        self._image_tokens = image_tokens
        self._batches = batches
        self._pictures = pictures
        self._encoded: dict[tuple[str, str], tuple[list[int], int]] = {}
        self._sentence_ids = {s: self._ids(s) for s in every_sentence()}
        self.layout = self._make_layout(slots)

    def __len__(self) -> int:
        return self._batches

    def __getitem__(
        self, index: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        first = index * self._pictures
        seeds = [TRAINING_SEEDS[first + offset] for offset in range(self._pictures)]
        layout = self.layout
        pixels = np.empty((self._pictures, 3, 64, 64), dtype=np.float32)
        pad_id = self._tokenizer.pad_token_id
        input_ids = np.full((self._pictures, layout.length), pad_id, dtype=np.int64)
        labels = np.full_like(input_ids, IGNORED_LABEL)
        cells = np.empty((self._pictures, _GRID**2, len(CELL_CLASSES)), dtype=np.int64)
        input_ids[:, : len(layout.prefix_ids)] = layout.prefix_ids
        for row, seed in enumerate(seeds):
            scene = draw_picture(seed)
            pixels[row] = pixels_of(scene.image)
            cells[row] = cells_of(scene)
            for slot, asked in enumerate(ask_several(scene, seed, layout.slots)):
                ids, reply_start = self._slot_ids(asked.text, asked.answer)
                begin = len(layout.prefix_ids) + slot * layout.slot_width
                input_ids[row, begin : begin + len(ids)] = ids
                labels[row, begin + reply_start : begin + len(ids)] = ids[reply_start:]
        return tuple(torch.from_numpy(a) for a in (pixels, input_ids, labels, cells))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])

    def _make_layout(self, slots: int) -> Layout:
        question = "What is in the picture?"
        prompt = self._ids(prompt_text(self._tokenizer, question, self._image_tokens))
        image_id = self._tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        # The token behind the last <image> closes the picture.
        prefix_length = len(prompt) - prompt[::-1].index(image_id) + 1
        longest = max(len(ids) for ids in self._sentence_ids.values())
        self._turn = prompt[prefix_length + len(self._ids(question)) :]
        return Layout(tuple(prompt[:prefix_length]), slots, 2 * longest + len(self._turn))

    def _slot_ids(self, question: str, answer: str) -> tuple[list[int], int]:
        """Token ids of one slot, and the index at which the reply begins."""
        key = (question, answer)
        if key not in self._encoded:
            asked = [*self._sentence_ids[question], *self._turn]
            self._encoded[key] = (asked + self._ids(reply_text(answer)), len(asked))
        return self._encoded[key]
