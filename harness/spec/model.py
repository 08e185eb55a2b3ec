"""A spec as the rest of the harness sees it: frozen, complete, every path resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.spec.images import ImageSource
from harness.spec.recipe import Recipe
from harness.vocabulary import Backend, Lookahead, Mode, Target

if TYPE_CHECKING:
    from harness.perf.plan import FitLimits, Plan

DEFAULT_BACKEND: Backend = "qnn"
PERPLEXITY_CASE = "perplexity-text"
"""The text of the perplexity demand among a bundle's cases; no case of a spec can be called so."""


@dataclass(frozen=True)
class SpecPlace:
    """Where in a spec something stands, as messages name it."""

    file: Path
    line: int  # 1-based

    def __str__(self) -> str:
        return f"{_short(self.file)}:{self.line}"


@dataclass(frozen=True)
class CheckpointRef:
    """The weights: a local folder, a Hugging Face hub id with its revision, or drawn.

    With a `seed`, `path` holds a configuration and the weights are random.
    """

    path: Path | None
    hub: str | None
    revision: str | None
    seed: int | None = None

    def __str__(self) -> str:
        if self.seed is not None:
            return f"random weights (seed {self.seed}) of {self.path}"
        return str(self.path) if self.path is not None else f"{self.hub}@{self.revision}"


@dataclass(frozen=True)
class CalibrationSample:
    """Pictures and a prompt to calibrate with; never those of a case."""

    images: tuple[ImageSource, ...]
    prompt: str


@dataclass(frozen=True)
class Expectation:
    """What the reply alone must be.

    `all_of`, `any_of` and `none_of` are words or phrases; `matches_*` regular expressions that
    are searched in the text as it is. Lengths are inclusive; `max_tokens` counts the stop
    token. A reply that got stuck in a loop is wrong unless `allow_repetition`.
    """

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    matches_all: tuple[str, ...] = ()
    matches_any: tuple[str, ...] = ()
    matches_none: tuple[str, ...] = ()
    stop_reasons: tuple[str, ...] | None = None
    min_words: int | None = None
    max_words: int | None = None
    max_tokens: int | None = None
    allow_repetition: bool = False


@dataclass(frozen=True)
class Turn:
    """What is said at once: pictures, if any, and a question."""

    images: tuple[ImageSource, ...]
    prompt: str


@dataclass(frozen=True)
class Case:
    """Pictures, a question about them, and what the answer must hold.

    A conversation of several turns has its `earlier_turns`; the answer is that to the last.
    `splitting` says whether pictures are cut into tiles beside the whole picture.
    """

    name: str
    images: tuple[ImageSource, ...]
    prompt: str
    max_new_tokens: int  # per turn
    expect: Expectation
    place: SpecPlace
    earlier_turns: tuple[Turn, ...] = ()
    splitting: bool = False

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns; at least one."""
        return (*self.earlier_turns, Turn(self.images, self.prompt))

    @property
    def inputs_sha256(self) -> str:
        """Hash of what the prepared inputs depend on: prompts, pictures' bytes, splitting."""
        turns = [
            {"prompt": turn.prompt, "images": [image.sha256 for image in turn.images]}
            for turn in self.turns
        ]
        content = {"turns": turns, "splitting": self.splitting}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class AgreementDemand:
    """Share (0 to 1) of each reply that equals the float model's before they part.

    Parting where the float model prefers its own token by at most `tie_margin` logits is no
    fault: either token is as good.
    """

    min_share: float
    tie_margin: float


@dataclass(frozen=True)
class LogitsDemand:
    """Bounds of the distance from the float model's logits, at the worst position."""

    min_sqnr_db: float | None
    min_cosine: float | None
    max_kl_nats: float | None


@dataclass(frozen=True)
class PerplexityDemand:
    """Perplexity of `text`, at most `max_ratio` times the float model's."""

    text: str
    max_ratio: float


@dataclass(frozen=True)
class QuestionSet:
    """Questions with exact answers: of them `min_exact_rate` must be right.

    Judged by the Wilson interval of level `confidence`. `answers` is by question, as the
    cases of the same names in `cases`.
    """

    cases: Mapping[str, Case]
    answers: Mapping[str, str]
    min_exact_rate: float
    confidence: float
    place: SpecPlace


@dataclass(frozen=True)
class Accuracy:
    """Demands on the model as a whole; None where the spec makes none."""

    agreement: AgreementDemand | None = None
    logits: LogitsDemand | None = None
    perplexity: PerplexityDemand | None = None
    questions: QuestionSet | None = None


@dataclass(frozen=True)
class Conditions:
    """What a number was measured under, or what a threshold holds for."""

    mode: Mode
    max_seq_len: int
    target: Target
    backend: Backend = DEFAULT_BACKEND

    def __str__(self) -> str:
        return f"{self.mode}, max_seq_len {self.max_seq_len}, {self.target}, {self.backend}"

    def differences(self, other: Conditions) -> tuple[str, ...]:
        """Each condition that differs, as "max_seq_len is 1024, not 128" (ours is 128)."""
        names = ("mode", "max_seq_len", "target", "backend")
        return tuple(
            f"{name} is {getattr(other, name)}, not {getattr(self, name)}"
            for name in names
            if getattr(other, name) != getattr(self, name)
        )


@dataclass(frozen=True)
class MetricBound:
    """Bounds of one metric, per SoC; they hold under `holds_for` only.

    A lower bound (floor) where the metric is better when higher, else an upper one (ceiling);
    both are inclusive. `per_serial` goes before `per_soc`. One that is no demand of a spec
    but was made of earlier results says so in `origin`.
    """

    metric: str
    holds_for: Conditions
    per_soc: Mapping[str, float]  # SoC id -> bound, in the metric's unit
    per_serial: Mapping[str, float]
    note: str | None
    place: SpecPlace
    origin: Literal["spec", "baseline"] = "spec"

    def value_for(self, soc_id: str, serial: str | None = None) -> float | None:
        """The bound for a phone, None if there is none for its SoC."""
        if serial is not None and serial in self.per_serial and soc_id in self.per_soc:
            return self.per_serial[serial]
        return self.per_soc.get(soc_id)


@dataclass(frozen=True)
class MeasuringRule:
    """How rates are measured: tokens generated per repeat, uncounted runs in each process
    before, limits of the phone's state and the seconds one may wait for it, and of time."""

    fixed_tokens: int
    warmup: int
    limits: FitLimits
    fit_wait_s: float
    plan: Plan


@dataclass(frozen=True)
class SizeCeiling:
    """Upper bounds of PTE sizes, inclusive; they hold under `holds_for` only.

    The mode is the one the bundle was compiled for, not the one it runs in.
    """

    holds_for: Conditions
    pte_size_bytes: Mapping[str, int]  # component -> bound
    note: str | None
    place: SpecPlace


@dataclass(frozen=True)
class Spec:
    """One YAML file: a model, how to compile it, and what it must achieve.

    `max_seq_len` bounds the positions of one request, prompt and reply; the graphs are built
    for `max_context_len`, which is no less. `lookahead` is set where `modes` names it.
    `backend` is the one that is compiled for unless the user asks for another.
    """

    path: Path
    model: str
    family: str
    checkpoint: CheckpointRef
    backend: Backend
    recipe: Recipe
    recipe_xnnpack: Recipe
    max_seq_len: int
    max_context_len: int
    prefill_ar_len: int
    lookahead: Lookahead | None
    modes: tuple[Mode, ...]
    image_splitting: bool
    calibration: tuple[CalibrationSample, ...]
    cases: Mapping[str, Case]
    accuracy: Accuracy
    floors: tuple[MetricBound, ...]
    metric_ceilings: tuple[MetricBound, ...]
    size_ceilings: tuple[SizeCeiling, ...]
    measurement: MeasuringRule

    def recipe_for(self, backend: Backend) -> Recipe:
        """How the components are made for a backend."""
        return self.recipe if backend == "qnn" else self.recipe_xnnpack

    @property
    def asked_cases(self) -> Mapping[str, Case]:
        """The cases and the questions of the accuracy demands, by name."""
        questions = self.accuracy.questions
        return {**self.cases, **({} if questions is None else questions.cases)}

    @property
    def inputs_sha256(self) -> Mapping[str, str]:
        """Hash of the inputs of everything that a bundle must be prepared for, by name."""
        hashes = {name: case.inputs_sha256 for name, case in self.asked_cases.items()}
        perplexity = self.accuracy.perplexity
        if perplexity is not None:
            hashes[PERPLEXITY_CASE] = hashlib.sha256(perplexity.text.encode()).hexdigest()
        return hashes


def _short(path: Path) -> str:
    """The path as the user would type it, if it lies below the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
