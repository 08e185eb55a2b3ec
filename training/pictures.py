"""Coloured shapes on a plain ground, drawn from a seed.

A seed decides everything about a picture, so a picture is named by its seed. The ranges below do
not overlap: nothing that is trained on can be met in calibration, evaluation or a spec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

TRAINING_SEEDS = range(1_000_000_000)
VALIDATION_SEEDS = range(1_000_000_000, 1_100_000_000)
CALIBRATION_SEEDS = range(1_500_000_000, 1_600_000_000)
EVALUATION_SEEDS = range(2_000_000_000, 2_100_000_000)

PICTURE_SIZE = 64
SHAPES = ("circle", "square", "triangle", "star")
COLORS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (35, 60, 215),
    "yellow": (245, 215, 40),
    "purple": (150, 40, 185),
    "cyan": (50, 205, 220),
}
BACKGROUNDS = {
    "white": (245, 245, 245),
    "black": (18, 18, 18),
    "gray": (128, 128, 128),
    "brown": (120, 75, 40),
    "pink": (250, 180, 200),
}
MAX_OBJECTS = 4

_OVERSAMPLING = 4
_COLOR_JITTER = 14
_NOISE_SIGMA = 3.0
_SINGLE_CENTERS = (16, 32, 48)
_QUADRANT_CENTERS = ((16, 16), (48, 16), (16, 48), (48, 48))


@dataclass(frozen=True)
class Item:
    """One drawn shape. Centre and radius in pixels of the 64 x 64 picture, y grows downwards."""

    shape: str
    color: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and what it shows. `repeated_shape` names the shape drawn several times, if the
    picture was laid out for counting one shape; otherwise all shapes and all colours differ."""

    seed: int
    image: Image.Image
    background: str
    items: tuple[Item, ...]
    repeated_shape: str | None


def draw_picture(seed: int) -> Scene:
    """Draw the picture of `seed`: RGB, 64 x 64, one to four shapes that do not overlap."""
    rng = np.random.default_rng(seed)
    background = _pick(rng, tuple(BACKGROUNDS))
    if rng.random() < 0.35:
        repeated_shape, looks = _repeated_looks(rng)
    else:
        repeated_shape, looks = None, _distinct_looks(rng)
    items = _place(rng, looks)
    return Scene(seed, _render(rng, background, items), background, items, repeated_shape)


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _distinct_looks(rng: np.random.Generator) -> list[tuple[str, str]]:
    count = int(rng.integers(1, MAX_OBJECTS + 1))
    shapes = rng.permutation(len(SHAPES))[:count]
    colors = rng.permutation(len(COLORS))[:count]
    names = tuple(COLORS)
    return [(SHAPES[s], names[c]) for s, c in zip(shapes, colors, strict=True)]


def _repeated_looks(rng: np.random.Generator) -> tuple[str, list[tuple[str, str]]]:
    # The number of copies is drawn first and evenly, so that no answer to "how many" is a
    # better guess than another.
    copies = int(rng.integers(1, MAX_OBJECTS + 1))
    others = int(rng.integers(0, MAX_OBJECTS - copies + 1))
    repeated = _pick(rng, SHAPES)
    rest = tuple(shape for shape in SHAPES if shape != repeated)
    shapes = [repeated] * copies + [_pick(rng, rest) for _ in range(others)]
    return repeated, [(shape, _pick(rng, tuple(COLORS))) for shape in shapes]


def _place(rng: np.random.Generator, looks: list[tuple[str, str]]) -> tuple[Item, ...]:
    if len(looks) == 1:
        radius = float(rng.uniform(10, 13))
        x, y = rng.choice(_SINGLE_CENTERS, size=2) + rng.uniform(-2, 2, size=2)
        return (Item(*looks[0], float(x), float(y), radius),)
    quadrants = rng.permutation(4)[: len(looks)]
    items = []
    for look, quadrant in zip(looks, quadrants, strict=True):
        center_x, center_y = _QUADRANT_CENTERS[quadrant]
        shift_x, shift_y = rng.uniform(-2, 2, size=2)
        radius = float(rng.uniform(10, 12.5))
        items.append(Item(*look, center_x + float(shift_x), center_y + float(shift_y), radius))
    return tuple(items)


def _render(rng: np.random.Generator, background: str, items: tuple[Item, ...]) -> Image.Image:
    side = PICTURE_SIZE * _OVERSAMPLING
    canvas = Image.new("RGB", (side, side), _jittered(rng, BACKGROUNDS[background]))
    draw = ImageDraw.Draw(canvas)
    for item in items:
        angle = float(rng.uniform(-0.12, 0.12))
        fill = _jittered(rng, COLORS[item.color])
        draw.polygon(_outline(item, angle), fill=fill)
    pixels = np.asarray(canvas.reduce(_OVERSAMPLING), dtype=np.float32)  # (64, 64, 3)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * _NOISE_SIGMA
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def _jittered(rng: np.random.Generator, color: tuple[int, int, int]) -> tuple[int, int, int]:
    shift = rng.integers(-_COLOR_JITTER, _COLOR_JITTER + 1, size=3)
    red, green, blue = (int(np.clip(c + s, 0, 255)) for c, s in zip(color, shift, strict=True))
    return red, green, blue


# Corners as (angle in turns from the top, radius factor); the factors give the four shapes about
# the same area, so that size says nothing about shape.
_CORNERS = {
    "circle": [(k / 40, 0.92) for k in range(40)],
    "square": [(k / 4 + 1 / 8, 1.12) for k in range(4)],
    "triangle": [(k / 3, 1.22) for k in range(3)],
    "star": [(k / 10, 1.25 if k % 2 == 0 else 0.5) for k in range(10)],
}


def _outline(item: Item, angle: float) -> list[tuple[float, float]]:
    """Corners of the shape in pixels of the oversampled canvas; `angle` in radians."""
    corners = []
    for turn, factor in _CORNERS[item.shape]:
        theta = 2 * math.pi * turn + angle
        reach = item.radius * factor
        x, y = item.x + reach * math.sin(theta), item.y - reach * math.cos(theta)
        corners.append((x * _OVERSAMPLING, y * _OVERSAMPLING))
    return corners
