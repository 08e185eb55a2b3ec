"""Which models, modes and encodings are compared with the float model, and their runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product, zip_longest
from pathlib import Path

from harness.bundle import Bundle
from harness.cache import file_sha256
from harness.compile import BundleRequest, compile_bundle
from harness.device import Device
from harness.report import Turn
from harness.runs import CaseRun, RunRequest, run_case
from harness.runtime import Runtime
from harness.socs import find_soc, specs_dir
from harness.spec import Case, Expectation, ImageSource, Spec, load_spec, override_recipe
from harness.vocabulary import Lookahead, Mode
from training.pictures import EVALUATION_SEEDS
from training.questions import make_example

SOC = "SM8750"
MODELS = tuple(sorted(path.stem for path in specs_dir().glob("*_tiny.yaml")))
MODES: tuple[Mode, ...] = ("kv", "hybrid", "lookahead")
ENCODINGS = ("shared", "separate")
# Everything takes an hour and more: tox.ini's environment `fidelity` asks for it.
FULL = os.environ.get("VLM_FIDELITY") == "full"
LOOKAHEAD = Lookahead(window=4, ngram=3, gcap=4)
# Positions that a request may use where the graphs made for lookahead have 128.
LOOKAHEAD_MAX_SEQ_LEN = 96
TIMEOUT_S = 300.0
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


# Every pair of model, mode and encodings, in four bundles: a hybrid one serves kv as well.
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
            if mode == "lookahead":
                spec = replace(spec, max_seq_len=LOOKAHEAD_MAX_SEQ_LEN)
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


def first_difference(one: Turn, other: Turn) -> int:
    """Position of the first generated token in which two runs differ."""
    pairs = zip_longest(one.generated_token_ids, other.generated_token_ids)
    return next(index for index, (a, b) in enumerate(pairs) if a != b)


def steps_apart(turn: Turn, position: int) -> float:
    """Quantisation steps between the two best logits at one generated token."""
    assert turn.logits is not None
    (_, best), (_, second) = turn.logits.top[position]
    return best - second
