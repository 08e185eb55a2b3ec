"""Which conversations the modes have to agree on, with which graphs.

The default run takes a pairwise cover of model, encodings, width of the cache, mode, turns and
pictures; `VLM_AGREEMENT=all` (`tox -e agreement`) takes every combination.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from harness.cache import file_sha256
from harness.spec import Case, Expectation, ImageSource, Spec
from harness.spec.model import Turn
from harness.vocabulary import Mode
from training.pictures import EVALUATION_SEEDS, SHAPES, draw_picture

sys.path.insert(0, str(Path(__file__).parent))
from laboratory import ENCODINGS, MODELS, Build

FULL = os.environ.get("VLM_AGREEMENT") == "all"
KV_CACHE_BITS = (8, 16)
MODES: tuple[Mode, ...] = ("hybrid", "lookahead")
COUNTS = (1, 2, 3)
# What the pictures leave of the small models' 128 positions, of which lookahead's graphs fill 111.
MAX_NEW_TOKENS = {1: 16, 2: 10, 3: 6}
LEAST_NEW_TOKENS = 3  # with three turns and three pictures
# Behind those that the fidelity tests count from the end.
_LAST_SEED = EVALUATION_SEEDS[-1] - 1000


@dataclass(frozen=True)
class Graphs:
    """Graphs that answer in a mode other than `kv`."""

    model: str
    encodings: str
    kv_cache_bits: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.model}-{self.mode}-{self.encodings}-{self.kv_cache_bits}_bits"

    @property
    def build(self) -> Build:
        """The bundle with these graphs."""
        return Build(self.model, self.mode, self.encodings, self.kv_cache_bits)


@dataclass(frozen=True)
class Combination:
    """A conversation, and the graphs that are asked."""

    graphs: Graphs
    n_turns: int
    n_images: int

    def __str__(self) -> str:
        return f"{self.graphs}-{self.conversation}"

    @property
    def conversation(self) -> str:
        """Name of the case."""
        return f"{self.n_turns}_turns_{self.n_images}_images"


# Every pair of model, encodings, bits and mode. The first two of 16 bits are the fidelity
# tests' bundles.
COVER = (
    Graphs("smolvlm_tiny", "separate", 16, "lookahead"),
    Graphs("internvl3_tiny", "separate", 16, "hybrid"),
    Graphs("smolvlm_tiny", "shared", 8, "hybrid"),
    Graphs("internvl3_tiny", "shared", 16, "lookahead"),
    Graphs("internvl3_tiny", "separate", 8, "lookahead"),
)


def combinations() -> list[Combination]:
    """What this session is about."""
    if FULL:
        every = product(MODELS, ENCODINGS, KV_CACHE_BITS, MODES)
        graphs: Sequence[Graphs] = [Graphs(*four) for four in every]
        return [Combination(*three) for three in product(graphs, COUNTS, COUNTS)]
    # A Latin square: three of the nine conversations for each, another three for the next.
    return [
        Combination(graphs, n_turns, (n_turns + number) % 3 + 1)
        for number, graphs in enumerate(COVER)
        for n_turns in COUNTS
    ]


def kv_build_of(graphs: Graphs, builds: Collection[Build]) -> Build:
    """The bundle whose mode `kv` they have to agree with: a hybrid one if there is one anyway."""
    hybrid = replace(graphs.build, graphs="hybrid")
    return hybrid if hybrid in builds else replace(hybrid, graphs="kv")


def conversations_of(spec: Spec, folder: Path) -> Spec:
    """The same model in conversations of one to three turns about one to three pictures."""
    talks = [_conversation(spec, folder, *counts) for counts in product(COUNTS, COUNTS)]
    return replace(spec, cases={case.name: case for case in talks})


def _conversation(spec: Spec, folder: Path, n_turns: int, n_images: int) -> Case:
    """Pictures one to a turn, those that are left over in the last; a question in each turn."""
    name = Combination(Graphs("", "", 0, "kv"), n_turns, n_images).conversation
    pictures = [
        _picture(folder, _LAST_SEED - 9 * n_turns - 3 * n_images - n) for n in range(n_images)
    ]
    shown = [pictures[n : n + 1] for n in range(n_turns - 1)] + [pictures[n_turns - 1 :]]
    earlier = [
        Turn(tuple(images), f"Where is the {shape}?")
        for images, shape in zip(shown[:-1], SHAPES, strict=False)
    ]
    return replace(
        next(iter(spec.cases.values())),
        name=name,
        images=tuple(shown[-1]),
        prompt="What is in the picture?",
        max_new_tokens=LEAST_NEW_TOKENS if n_turns + n_images == 6 else MAX_NEW_TOKENS[n_turns],
        expect=Expectation(),
        earlier_turns=tuple(earlier),
    )


def _picture(folder: Path, seed: int) -> ImageSource:
    path = folder / f"{seed}.png"
    draw_picture(seed).image.save(path)
    return ImageSource(sha256=file_sha256(path), path=path)
