"""Which models, modes and encodings are compared with the float model, and their runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product, zip_longest
from pathlib import Path

from harness.bundle import Bundle
from harness.compile import BundleRequest, compile_bundle
from harness.device import Device
from harness.report import Turn
from harness.runs import CaseRun, RunRequest, run_case
from harness.runtime import Runtime
from harness.socs import find_soc, specs_dir
from harness.spec import Spec, load_spec, override_recipe
from harness.vocabulary import Lookahead, Mode

SOC = "SM8750"
MODELS = tuple(sorted(path.stem for path in specs_dir().glob("*_tiny.yaml")))
# Those the C++ runner decodes in.
MODES: tuple[Mode, ...] = ("kv", "hybrid")
ENCODINGS = ("shared", "separate")
LOOKAHEAD = Lookahead(window=4, ngram=3, gcap=4)
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Combination:
    """A model in a mode, with one set of encodings or one per graph."""

    model: str
    mode: Mode
    encodings: str

    def __str__(self) -> str:
        return f"{self.model}-{self.mode}-{self.encodings}"


def combinations() -> list[Combination]:
    """All of them where the environment asks for that, else a pairwise cover.

    Both always hold each model's shared hybrid bundle in every mode that it serves: it is
    compiled for other tests anyhow, and the modes are compared on it.
    """
    every = [Combination(*triple) for triple in product(MODELS, MODES, ENCODINGS)]
    if os.environ.get("VLM_FIDELITY") == "full":
        return every
    cover = {
        Combination(model, mode, ENCODINGS[(row + column) % 2])
        for row, model in enumerate(MODELS)
        for column, mode in enumerate(MODES)
    }
    cover |= {Combination(model, mode, "shared") for model in MODELS for mode in MODES[:2]}
    return [combination for combination in every if combination in cover]


@dataclass
class Laboratory:
    """Compiles and runs what a test asks for, each once."""

    phone: Device
    runtime: Runtime
    fresh: Callable[[Spec], Spec]
    _specs: dict[str, Spec] = field(default_factory=dict)
    _bundles: dict[tuple[str, Mode, str], Bundle] = field(default_factory=dict)
    _runs: dict[Combination, dict[str, CaseRun]] = field(default_factory=dict)

    def spec(self, model: str) -> Spec:
        """The model's spec, asked about fresh pictures."""
        if model not in self._specs:
            loaded = load_spec(specs_dir() / f"{model}.yaml")
            self._specs[model] = self.fresh(replace(loaded, lookahead=LOOKAHEAD))
        return self._specs[model]

    def bundle(self, combination: Combination) -> Bundle:
        """A hybrid bundle serves kv as well."""
        mode: Mode = "lookahead" if combination.mode == "lookahead" else "hybrid"
        key = (combination.model, mode, combination.encodings)
        if key not in self._bundles:
            setting = f"text_decoder.encodings={combination.encodings}"
            spec = override_recipe(self.spec(combination.model), [setting])
            request = BundleRequest(spec, find_soc(SOC), mode, "simulator")
            self._bundles[key] = compile_bundle(request, None, lambda stage: None)
        return self._bundles[key]

    def runs(self, combination: Combination) -> Mapping[str, CaseRun]:
        """Every fresh picture, by case."""
        if combination not in self._runs:
            bundle = self.bundle(combination)
            self._runs[combination] = {
                name: run_case(
                    self.phone,
                    self.runtime,
                    RunRequest(
                        bundle,
                        name,
                        combination.mode,
                        case.max_new_tokens,
                        TIMEOUT_S,
                        record_logits="top2",
                    ),
                )
                for name, case in self.spec(combination.model).cases.items()
            }
        return self._runs[combination]


def fresh_folder(root: Path, model: str) -> Path:
    """Where a model's fresh pictures lie."""
    folder = root / model
    folder.mkdir()
    return folder


def first_difference(one: Turn, other: Turn) -> int:
    """Position of the first generated token in which two runs differ."""
    pairs = zip_longest(one.generated_token_ids, other.generated_token_ids)
    return next(index for index, (a, b) in enumerate(pairs) if a != b)


def steps_apart(turn: Turn, position: int) -> float:
    """Quantisation steps between the two best logits at one generated token."""
    assert turn.logits is not None
    (_, best), (_, second) = turn.logits.top[position]
    return best - second
