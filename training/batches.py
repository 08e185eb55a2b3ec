"""Training batches: pictures, and several questions about each packed into one sequence.

A packed sequence is the prompt up to the picture's end (the prefix), followed by one slot per
question: question, turn markers and reply. Each slot sees the prefix and itself and counts its
positions from the prefix's end, so that the model computes exactly what it would for one question
alone, while picture and prefix are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from training.family import TinyFamily
from training.hints import cells_of
from training.pictures import TRAINING_SEEDS, Scene, draw_picture
from training.questions import ask_several, every_sentence

IGNORED_LABEL = -100


def pixels_of(image: Image.Image) -> np.ndarray:
    """What the image processor makes of a 64 x 64 RGB picture: (3, 64, 64) float32 in [-1, 1]."""
    values = np.asarray(image, dtype=np.float32)
    return np.ascontiguousarray((values / 127.5 - 1.0).transpose(2, 0, 1))


class Batch(NamedTuple):
    """Tensors of B pictures; `length` is the packed length."""

    pixels: torch.Tensor  # (B, 3, 64, 64) float32
    input_ids: torch.Tensor  # (B, length) int64
    labels: torch.Tensor  # (B, length) int64, `IGNORED_LABEL` outside replies
    cells: torch.Tensor  # (B, 16, 5) int64, see training.hints.cells_of


@dataclass(frozen=True)
class Layout:
    """How prompts are packed: `prefix_ids` once, then `slots` slots of `slot_width` tokens.

    `turn_ids` stand between question and reply: the end of the user's turn, the assistant's cue.
    """

    prefix_ids: tuple[int, ...]
    turn_ids: tuple[int, ...]
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


class PackedPictures(Dataset[Batch]):
    """Item `i` is batch `i`, of the `i`-th block of the training seeds, whoever draws it."""

    def __init__(
        self, family: TinyFamily, tokenizer: Any, batches: int, pictures: int, slots: int
    ) -> None:
        self.family = family
        self.tokenizer = tokenizer
        self._batches = batches
        self._pictures = pictures
        self._encoded: dict[tuple[str, str], tuple[list[int], int]] = {}
        self.layout = self._make_layout(slots)

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> Batch:
        first = index * self._pictures
        seeds = TRAINING_SEEDS[first : first + self._pictures]
        scenes = [draw_picture(seed) for seed in seeds]
        rows = [self._row(scene) for scene in scenes]
        return Batch(
            pixels=torch.from_numpy(np.stack([pixels_of(scene.image) for scene in scenes])),
            input_ids=torch.from_numpy(np.stack([input_ids for input_ids, _ in rows])),
            labels=torch.from_numpy(np.stack([labels for _, labels in rows])),
            cells=torch.from_numpy(np.stack([cells_of(scene) for scene in scenes])),
        )

    def _row(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Input ids and labels of one picture with its questions, both (length,) int64."""
        layout = self.layout
        input_ids = np.full(layout.length, self.tokenizer.pad_token_id, dtype=np.int64)
        labels = np.full(layout.length, IGNORED_LABEL, dtype=np.int64)
        begin = len(layout.prefix_ids)
        input_ids[:begin] = layout.prefix_ids
        for asked in ask_several(scene, scene.seed, layout.slots):
            ids, reply_start = self._slot_ids(asked.text, asked.answer)
            input_ids[begin : begin + len(ids)] = ids
            labels[begin + reply_start : begin + len(ids)] = ids[reply_start:]
            begin += layout.slot_width
        return input_ids, labels

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    def _make_layout(self, slots: int) -> Layout:
        question = "What is in the picture?"
        before, after = self.family.prompt_text(self.tokenizer, question).split(question)
        prefix_ids, turn_ids = self._ids(before), self._ids(after)
        sentences = every_sentence()
        asked = max(len(self._ids(text)) for text in sentences if text.endswith("?"))
        reply = max(
            len(self._ids(self.family.reply_text(text))) for text in sentences if text.endswith(".")
        )
        return Layout(
            prefix_ids=tuple(prefix_ids),
            turn_ids=tuple(turn_ids),
            slots=slots,
            slot_width=asked + len(turn_ids) + reply,
        )

    def _slot_ids(self, question: str, answer: str) -> tuple[list[int], int]:
        """Token ids of one slot, and the index at which the reply begins."""
        key = (question, answer)
        if key not in self._encoded:
            asked = [*self._ids(question), *self.layout.turn_ids]
            self._encoded[key] = (asked + self._ids(self.family.reply_text(answer)), len(asked))
        return self._encoded[key]
