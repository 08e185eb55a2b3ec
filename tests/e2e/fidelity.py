"""Which models, modes and encodings are compared with the float model, on which pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from harness.cache import file_sha256
from harness.spec import Case, Expectation, ImageSource, Spec
from harness.vocabulary import Mode
from training.pictures import EVALUATION_SEEDS
from training.questions import make_example

sys.path.insert(0, str(Path(__file__).parent))
from laboratory import ENCODINGS, MODELS, Build

MODES: tuple[Mode, ...] = ("kv", "hybrid", "lookahead")
# Everything takes an hour and more: tox.ini's environment `fidelity` asks for it.
FULL = os.environ.get("VLM_FIDELITY") == "full"
# 20 by default; the environment `fidelity` of tox.ini asks for 100.
FRESH_PICTURES = int(os.environ.get("VLM_FRESH_PICTURES", "20"))


@dataclass(frozen=True)
class Combination:
    """A model in a mode, with one set of encodings or one per graph."""

    model: str
    mode: Mode
    encodings: str

    def __str__(self) -> str:
        return f"{self.model}-{self.mode}-{self.encodings}"

    @property
    def build(self) -> Build:
        """A hybrid bundle serves kv as well."""
        graphs: Mode = "lookahead" if self.mode == "lookahead" else "hybrid"
        return Build(self.model, graphs, self.encodings)


# Every pair of model, mode and encodings, in four bundles.
COVER = (
    Combination("smolvlm_tiny", "kv", "shared"),
    Combination("smolvlm_tiny", "hybrid", "shared"),
    Combination("smolvlm_tiny", "lookahead", "separate"),
    Combination("internvl3_tiny", "kv", "separate"),
    Combination("internvl3_tiny", "hybrid", "separate"),
    Combination("internvl3_tiny", "lookahead", "shared"),
)


def combinations() -> Sequence[Combination]:
    """What this session is about."""
    if FULL:
        return [Combination(*triple) for triple in product(MODELS, MODES, ENCODINGS)]
    return COVER


def comparable_with_kv() -> list[Combination]:
    """Those of shared encodings whose model runs in mode kv with them, too."""
    every = combinations()
    return [
        combination
        for combination in every
        if combination.mode != "kv"
        and combination.encodings == "shared"
        and Combination(combination.model, "kv", "shared") in every
    ]


def fresh_folder(root: Path, model: str) -> Path:
    """Where a model's fresh pictures lie."""
    folder = root / model
    folder.mkdir()
    return folder


def fresh_spec_of(spec: Spec, folder: Path) -> Spec:
    """The same model asked about pictures that neither training nor calibration saw."""
    cases = (_fresh_case(spec, folder, index) for index in range(FRESH_PICTURES))
    return replace(spec, cases={case.name: case for case in cases})


def _fresh_case(spec: Spec, folder: Path, index: int) -> Case:
    # Counted from the end of the range: the specs' own pictures come from its beginning.
    example = make_example(EVALUATION_SEEDS[-1] - index)
    path = folder / f"{index}.png"
    example.image.save(path)
    template = next(iter(spec.cases.values()))
    return replace(
        template,
        name=f"fresh_{index}",
        images=(ImageSource(sha256=file_sha256(path), path=path),),
        prompt=example.question,
        expect=Expectation(all_of=(example.answer,)),
    )
