"""A second, denser lesson for the vision tower, given only while training.

From each image token a linear layer must say what its square of the picture shows. One picture
thus teaches sixteen times instead of a few, and the tower learns to see long before the decoder
has learnt to ask. The layer is thrown away at the end; the checkpoint does not contain it.
"""

from __future__ import annotations

import numpy as np
import torch

from training.pictures import BACKGROUNDS, COLORS, PICTURE_SIZE, SHAPES, Scene

# Per image token: shape or none, colour or none, background, whether a shape's centre lies here.
CELL_CLASSES = (len(SHAPES) + 1, len(COLORS) + 1, len(BACKGROUNDS), 2)
CELLS_PER_SIDE = 4
# In pixels: how far beyond a shape's radius the centre of a square may lie and still show it.
_REACH = 2.0


def cells_of(scene: Scene) -> np.ndarray:
    """What the square of each image token shows: (16, 4) int64 class numbers, row by row."""
    side = PICTURE_SIZE / CELLS_PER_SIDE
    centers = (np.arange(CELLS_PER_SIDE) + 0.5) * side
    cells = np.zeros((CELLS_PER_SIDE, CELLS_PER_SIDE, len(CELL_CLASSES)), dtype=np.int64)
    cells[..., 2] = list(BACKGROUNDS).index(scene.background)
    nearest = np.full((CELLS_PER_SIDE, CELLS_PER_SIDE), np.inf)
    for item in scene.items:
        distance = np.hypot(centers[None, :] - item.x, centers[:, None] - item.y)
        covered = (distance < item.radius + _REACH) & (distance < nearest)
        nearest[covered] = distance[covered]
        cells[covered, 0] = 1 + SHAPES.index(item.shape)
        cells[covered, 1] = 1 + list(COLORS).index(item.color)
        cells[int(item.y // side), int(item.x // side), 3] = 1
    return cells.reshape(CELLS_PER_SIDE**2, len(CELL_CLASSES))


class HintReader(torch.nn.Module):
    """Linear classifiers over the image tokens, one for each column of `cells_of`."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.classes = torch.nn.Linear(hidden_size, sum(CELL_CLASSES))

    def loss(self, image_tokens: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Sum of the four mean cross entropies.

        image_tokens (pictures * 16, hidden_size) float32, cells (pictures, 16, 4) int64.
        """
        logits = self.classes(image_tokens).split(CELL_CLASSES, dim=-1)
        targets = cells.flatten(0, 1).unbind(dim=-1)
        losses = [
            torch.nn.functional.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)
        ]
        return torch.stack(losses).sum()
