"""A second, denser lesson for the vision tower, given only while training.

From each image token it must be plain what its square of the picture shows. One picture thus
teaches sixteen times instead of a few, and the tower learns to see long before the decoder has
learnt to ask. Shapes and colours are read by comparing the image token with the decoder's own
embeddings of the words: what the picture shows then lies where the questions look for it. Nothing
of this is kept in the checkpoint.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy, rms_norm

from training.pictures import BACKGROUNDS, COLORS, PICTURE_SIZE, SHAPES, Scene
from training.questions import PLACES, extremes

CELLS_PER_SIDE = 4
# Columns of `cells_of`: shape or none, colour or none, then background, the quadrant of the
# shape shown or none, and for each side whether that shape is the one outermost there.
NAMED_COLUMNS = (tuple(SHAPES), tuple(COLORS))
PLAIN_COLUMNS = (len(BACKGROUNDS), 5, *(2 for _ in PLACES))
# A square shows a shape if its centre lies within this share of the radius; it is clear of the
# shape if its centre lies this many pixels beyond the radius. Between the two nothing is asked.
_INNER = 0.6
_REACH = 7.0
UNCLEAR = -100


def cells_of(scene: Scene) -> np.ndarray:
    """What the square of each image token shows: (16, 8) int64 class numbers, row by row."""
    side = PICTURE_SIZE / CELLS_PER_SIDE
    middle = PICTURE_SIZE / 2
    centers = (np.arange(CELLS_PER_SIDE) + 0.5) * side
    columns = len(NAMED_COLUMNS) + len(PLAIN_COLUMNS)
    cells = np.zeros((CELLS_PER_SIDE, CELLS_PER_SIDE, columns), dtype=np.int64)
    cells[..., 2] = list(BACKGROUNDS).index(scene.background)
    outermost = extremes(scene)
    for item in scene.items:
        distance = np.hypot(centers[None, :] - item.x, centers[:, None] - item.y)
        inside = distance < _INNER * item.radius
        inside[int(item.y // side), int(item.x // side)] = True
        cells[~inside & (distance < item.radius + _REACH), :2] = UNCLEAR
        cells[~inside & (distance < item.radius + _REACH), 3:] = UNCLEAR
        cells[inside, 0] = 1 + SHAPES.index(item.shape)
        cells[inside, 1] = 1 + list(COLORS).index(item.color)
        cells[inside, 3] = 1 + 2 * (item.y > middle) + (item.x > middle)
        for column, place in enumerate(PLACES, start=4):
            cells[inside, column] = outermost.get(place) is item
    return cells.reshape(CELLS_PER_SIDE**2, columns)


class HintReader(torch.nn.Module):
    """Classifiers over the image tokens, one for each column of `cells_of`.

    `word_ids` holds, for each named column, the token ids of its names.
    """

    def __init__(self, words: torch.nn.Embedding, word_ids: list[list[int]]) -> None:
        super().__init__()
        self._words = [words]  # in a list: the embedding is the model's parameter, not ours
        self._word_ids = [torch.tensor(ids) for ids in word_ids]
        width = words.embedding_dim
        self.nothing = torch.nn.Parameter(0.02 * torch.randn(len(word_ids), width))
        self.plain = torch.nn.Linear(width, sum(PLAIN_COLUMNS))

    def loss(self, image_tokens: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Sum of the columns' mean cross entropies.

        image_tokens (pictures * 16, width) float32, cells (pictures, 16, columns) int64.
        """
        width = image_tokens.shape[-1]
        seen = rms_norm(image_tokens, (width,))
        logits = []
        for ids, nothing in zip(self._word_ids, self.nothing, strict=True):
            names = torch.cat([nothing[None], self._words[0](ids)])
            logits.append(seen @ rms_norm(names, (width,)).T / width**0.5)
        logits += self.plain(seen).split(PLAIN_COLUMNS, dim=-1)
        targets = cells.flatten(0, 1).unbind(dim=-1)
        losses = [cross_entropy(*pair) for pair in zip(logits, targets, strict=True)]
        return torch.stack(losses).sum()
