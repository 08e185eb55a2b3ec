"""Questions about a drawn picture, each with its one right answer.

Only questions with a clear answer are asked: the colour of a shape that occurs once, the leftmost
shape only if a wide gap separates it from the next. For each kind of question the answers are
about equally frequent, so that guessing without the picture gets little right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from training.pictures import BACKGROUNDS, COLORS, PICTURE_SIZE, SHAPES, Item, Scene, draw_picture

NUMBERS = ("one", "two", "three", "four")
# In pixels; quadrant centres lie 32 apart and are shifted by at most 2.
_SIDE_GAP = 20.0
_CORNER_GAP = 10.0

# Where "which shape is ..." looks: the item with the least value lies there.
PLACES: dict[str, Callable[[Item], float]] = {
    "on the left": lambda item: item.x,
    "on the right": lambda item: -item.x,
    "at the top": lambda item: item.y,
    "at the bottom": lambda item: -item.y,
}


@dataclass(frozen=True)
class Question:
    """`kind` groups questions of one type; `answer` is the whole expected reply."""

    kind: str
    text: str
    answer: str


@dataclass(frozen=True, eq=False)
class Example:
    """One picture (RGB, 64 x 64) with one question about it."""

    seed: int
    image: Image.Image
    kind: str
    question: str
    answer: str


def make_example(seed: int) -> Example:
    """The picture of `seed` and one of the questions it allows, chosen by the same seed."""
    scene = draw_picture(seed)
    asked = ask(scene, seed)
    return Example(seed, scene.image, asked.kind, asked.text, asked.answer)


def ask(scene: Scene, seed: int) -> Question:
    """One question: first a kind, evenly among the kinds this scene allows, then one of it."""
    rng = random.Random(seed)
    by_kind = [asked for maker in _MAKERS if (asked := maker(scene))]
    return rng.choice(rng.choice(by_kind))


def ask_several(scene: Scene, seed: int, count: int) -> list[Question]:
    """`count` questions, all that the scene allows being equally likely; none twice if enough."""
    rng = random.Random(seed)
    allowed = [asked for maker in _MAKERS for asked in maker(scene)]
    chosen = rng.sample(allowed, min(count, len(allowed)))
    return chosen + [rng.choice(allowed) for _ in range(count - len(chosen))]


def every_sentence() -> list[str]:
    """Every question and every answer that can occur: the tokenizer's corpus."""
    corners = [f"{v} {h}" for v in ("top", "bottom") for h in ("left", "right")]
    sentences = [_BACKGROUND, _ALL_SHAPES, _DESCRIBE]
    sentences += [f"Which shape is {place}?" for place in PLACES]
    sentences += [f"The background is {name}." for name in BACKGROUNDS]
    sentences += [_count_sentence(n, "shape") for n in range(1, 5)]
    for shape in SHAPES:
        sentences += [f"What color is the {shape}?", f"Where is the {shape}?"]
        sentences.append(f"How many {shape}s are there?")
        sentences += [f"The {shape} is {color}." for color in COLORS]
        sentences += [f"The shape {place} is a {shape}." for place in PLACES]
        sentences += [f"The {shape} is at the {corner}." for corner in corners]
        sentences += [_count_sentence(n, shape) for n in range(1, 5)]
        sentences += [f"A {c} {shape} on a {b} background." for c in COLORS for b in BACKGROUNDS]
    return sentences


_BACKGROUND = "What color is the background?"
_ALL_SHAPES = "How many shapes are there?"
_DESCRIBE = "What is in the picture?"


def _count_sentence(count: int, noun: str) -> str:
    if count == 1:
        return f"There is one {noun}."
    return f"There are {NUMBERS[count - 1]} {noun}s."


def _single_shapes(scene: Scene) -> list[Item]:
    shapes = [item.shape for item in scene.items]
    return [item for item in scene.items if shapes.count(item.shape) == 1]


def _background(scene: Scene) -> list[Question]:
    return [Question("background", _BACKGROUND, f"The background is {scene.background}.")]


def _colors(scene: Scene) -> list[Question]:
    return [
        Question("color", f"What color is the {i.shape}?", f"The {i.shape} is {i.color}.")
        for i in _single_shapes(scene)
    ]


def extremes(scene: Scene) -> dict[str, Item]:
    """Side -> the one item that lies there, for the sides where a wide gap leaves no doubt."""
    found = {}
    if len(scene.items) > 1:
        for place, distance in PLACES.items():
            nearest, second = sorted(scene.items, key=distance)[:2]
            if distance(second) - distance(nearest) >= _SIDE_GAP:
                found[place] = nearest
    return found


def _sides(scene: Scene) -> list[Question]:
    if scene.repeated_shape:
        return []
    return [
        Question("side", f"Which shape is {place}?", f"The shape {place} is a {item.shape}.")
        for place, item in extremes(scene).items()
    ]


def _corners(scene: Scene) -> list[Question]:
    middle = PICTURE_SIZE / 2
    found = []
    for item in _single_shapes(scene):
        if min(abs(item.x - middle), abs(item.y - middle)) < _CORNER_GAP:
            continue
        vertical = "top" if item.y < middle else "bottom"
        horizontal = "left" if item.x < middle else "right"
        answer = f"The {item.shape} is at the {vertical} {horizontal}."
        found.append(Question("corner", f"Where is the {item.shape}?", answer))
    return found


def _count_all(scene: Scene) -> list[Question]:
    # In pictures laid out for counting one shape, four shapes are the most frequent total.
    if scene.repeated_shape:
        return []
    return [Question("count_all", _ALL_SHAPES, _count_sentence(len(scene.items), "shape"))]


def _count_one(scene: Scene) -> list[Question]:
    shape = scene.repeated_shape
    if shape is None:
        return []
    count = sum(item.shape == shape for item in scene.items)
    return [Question("count", f"How many {shape}s are there?", _count_sentence(count, shape))]


def _describe(scene: Scene) -> list[Question]:
    if len(scene.items) != 1:
        return []
    (item,) = scene.items
    answer = f"A {item.color} {item.shape} on a {scene.background} background."
    return [Question("describe", _DESCRIBE, answer)]


_MAKERS: Sequence[Callable[[Scene], list[Question]]] = (
    _background,
    _colors,
    _sides,
    _corners,
    _count_all,
    _count_one,
    _describe,
)
