"""Bundles of the small models for the simulated SM8750, and their runs, each made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import zip_longest

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
ENCODINGS = ("shared", "separate")
LOOKAHEAD = Lookahead(window=4, ngram=3, gcap=4)
# Positions that a request may use where the graphs made for lookahead have 128.
LOOKAHEAD_MAX_SEQ_LEN = 112
TIMEOUT_S = 300.0
# A decoder is lowered by one process, mostly on one core.
AT_ONCE = 2


@dataclass(frozen=True)
class Build:
    """What is compiled: `graphs` names the mode whose graph widths the bundle has."""

    model: str
    graphs: Mode
    encodings: str
    kv_cache_bits: int = 16


@dataclass
class Laboratory:
    """Compiles and runs what a test asks for. `ask` replaces a spec's cases by the test's."""

    phone: Device
    runtime: Runtime
    ask: Callable[[Spec], Spec]
    _specs: dict[str, Spec] = field(default_factory=dict)
    _bundles: dict[Build, Bundle] = field(default_factory=dict)
    _runs: dict[tuple[Build, Mode, str], CaseRun] = field(default_factory=dict)

    def spec(self, model: str) -> Spec:
        """The model's spec with the test's cases."""
        if model not in self._specs:
            loaded = load_spec(specs_dir() / f"{model}.yaml")
            self._specs[model] = self.ask(loaded)
        return self._specs[model]

    def compile_all(self, builds: Iterable[Build]) -> None:
        """Two at a time, so that neither core waits while a decoder is lowered."""
        wanted = [build for build in dict.fromkeys(builds) if build not in self._bundles]
        requests = [request_for(build, self.spec(build.model)) for build in wanted]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = pool.map(lambda request: compile_bundle(request, None, _silent), requests)
            self._bundles.update(zip(wanted, made, strict=True))

    def bundle(self, build: Build) -> Bundle:
        """From the cache, or compiled now."""
        self.compile_all([build])
        return self._bundles[build]

    def run(self, build: Build, mode: Mode, case: str) -> CaseRun:
        """One case, with the two best logits at each token."""
        key = (build, mode, case)
        if key not in self._runs:
            request = RunRequest(
                self.bundle(build),
                case,
                mode,
                self.spec(build.model).cases[case].max_new_tokens,
                TIMEOUT_S,
                record_logits="top2",
            )
            self._runs[key] = run_case(self.phone, self.runtime, request)
        return self._runs[key]


def request_for(build: Build, spec: Spec) -> BundleRequest:
    """What is to be compiled, of a spec of the build's model."""
    settings = {"encodings": build.encodings, "kv_cache_bits": build.kv_cache_bits}
    spec = override_recipe(
        replace(spec, lookahead=LOOKAHEAD),
        [f"text_decoder.{name}={value}" for name, value in settings.items()],
    )
    if build.graphs == "lookahead":
        spec = replace(spec, max_seq_len=LOOKAHEAD_MAX_SEQ_LEN)
    return BundleRequest(spec, find_soc(SOC), build.graphs, "simulator")


def first_difference(one: Turn, other: Turn) -> int:
    """Position of the first generated token in which two runs differ."""
    pairs = zip_longest(one.generated_token_ids, other.generated_token_ids)
    return next(index for index, (a, b) in enumerate(pairs) if a != b)


def steps_apart(turn: Turn, position: int) -> float:
    """Quantisation steps between the two best logits at one generated token.

    Infinitely many where the reply had ended: that is no tie.
    """
    assert turn.logits is not None
    if position >= len(turn.logits.top):
        return math.inf
    (_, best), (_, second) = turn.logits.top[position]
    return best - second


def _silent(_: object) -> None:
    """Progress that nobody watches."""
