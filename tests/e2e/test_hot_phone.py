"""Whole verdict runs of the small models on a phone that heats up, throttles and owns to silicon.

The bundles are compiled for it as for any phone. Only the runner is a stub: it gives the float
model's replies and scripted times, since no HTP is at hand that would give times worth judging.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.bundle import Bundle
from harness.cache import cache_root
from harness.compile import BundleRequest, compile_bundle
from harness.device import start_private_server
from harness.socs import find_soc, specs_dir
from harness.spec import Spec, load_spec
from harness.virtual_phone import start_virtual_phone
from harness.virtual_phone.stub_runtime import make_stub_runtime
from tests.front.sessions import Bench, SessionOutcome

MODELS = ("internvl3_tiny", "smolvlm_tiny")
SOC = "SM8750"
FLOOR = {"metric": "decode_tokens_per_s", "mode": "hybrid", "max_seq_len": 128}
FLOOR_TOKENS_PER_S = 55
FIT = {"cool_down_s": 0.0, "fit_wait_s": 60.0, "max_skin_c": 39.0}
# From 31 C each run warms by 5: the second after a rest throttles, at 40.
WARMS = {"faults": [{"work_heat": {"c_per_run": 5.0, "cooling_s": 4.0}}]}
STAYS_HOT = {"thermal": {"skin_c": 44.5, "status": 2}}
SESSION_S = 300.0


@dataclass(frozen=True)
class Product:
    """A model's spec with a floor, and its bundle for phones."""

    spec: Spec
    bundle: Bundle

    @property
    def model(self) -> str:
        return self.spec.model

    def replies(self, tokens_per_s: float, wrong: str | None) -> list[dict[str, Any]]:
        """What the runner says to each case: the float model's words, to `wrong` another's."""
        cases = {name: self.bundle.manifest.cases[name] for name in self.spec.cases}
        said = {name: inputs.reference_token_ids for name, inputs in cases.items()}
        if wrong is not None:
            said[wrong] = next(ids for name, ids in said.items() if name != wrong)
        times = {"decode_tokens_per_s": tokens_per_s, "spread": 0.01, "throttled": 0.6}
        return [
            {
                "match": {"image_sha256": [self._picture_sha256(name)]},
                "reply": {"reply_token_ids": list(said[name] or ()), **times},
            }
            for name in cases
        ]

    def _picture_sha256(self, case: str) -> str:
        manifest = self.bundle.manifest
        (turn,) = manifest.cases[case].turns
        return manifest.files[turn.images[0].path].sha256


@pytest.fixture(scope="module", params=MODELS)
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Product:
    path = specs_dir() / f"{request.param}.yaml"
    folder = tmp_path_factory.mktemp("specs")
    changes = {
        "schema": 1,
        "extends": str(path),
        "floors": [{**FLOOR, f"{SOC.lower()}_token_rate": FLOOR_TOKENS_PER_S}],
        "measurement": FIT,
    }
    (folder / path.name).write_text(yaml.safe_dump(changes))
    spec = load_spec(folder / path.name)
    asked = BundleRequest(spec, find_soc(SOC), "hybrid", "silicon")
    return Product(spec, compile_bundle(asked, None, lambda stage: None))


@contextmanager
def hot_phone(folder: Path, traits: Mapping[str, Any]) -> Iterator[Bench]:
    """A phone behind a server of its own."""
    profile = folder / "hot.yaml"
    profile.write_text(yaml.safe_dump({"soc": SOC, "simulated": False, **traits}))
    (folder / "adb").mkdir()
    with start_private_server(folder / "adb") as server:
        key = server.public_key_path
        with start_virtual_phone(
            None, "e2e-hot", profile_path=profile, authorized_key=key, fresh=True
        ) as phone:
            server.server.connect_tcp(phone.serial)
            yield Bench(server, cache_root(), phone, phone)


def run(
    product: Product,
    folder: Path,
    traits: Mapping[str, Any],
    tokens_per_s: float,
    *args: str,
    wrong: str | None = None,
) -> SessionOutcome:
    """The model's answers, rate and sizes, judged on a phone with these traits."""
    replies = product.replies(tokens_per_s, wrong)
    runtime = make_stub_runtime(folder / "runtime", {"default": {}, "replies": replies})
    given = ["--specs", str(product.spec.path.parent), "--pre-gen-pte", str(product.bundle.dir)]
    checks = ["--mode", "hybrid", "-k", "test_answer or test_rate or test_size"]
    with hot_phone(folder, traits) as bench:
        args = (*given, *checks, "--runtime", str(runtime), *bench.args(bench.silicon), *args)
        return bench.run(args, end_s=SESSION_S)


def test_good_model_passes_and_throttled_repeats_do_not_count(
    product: Product, tmp_path: Path
) -> None:
    done = run(product, tmp_path, WARMS, 60.0)
    assert done.exit_status == 0, done.output
    outcomes = done.outcomes()
    assert outcomes.pop(f"test_size[{product.model}-hybrid]") == "skipped"  # for the simulator
    assert set(outcomes.values()) == {"passed"}
    assert len(outcomes) == len(product.spec.cases) + 1
    assert "throttled (thermal status 1): this repeat will not count" in done.output
    assert "is not fit to be measured: skin" in done.output


def test_slow_model_with_a_wrong_answer_fails_in_both_and_says_how(
    product: Product, tmp_path: Path
) -> None:
    wrong = "star_left"
    done = run(product, tmp_path, WARMS, 0.88 * 57.0, wrong=wrong)
    assert done.exit_status == 1, done.output
    rate = done.tests[f"test_rate[{product.model}-hybrid]"]
    assert rate.kind == "perf"
    assert f"below the floor {FLOOR_TOKENS_PER_S} tok/s for {SOC}" in rate.message
    answer = done.tests[f"test_answer[{product.model}-hybrid-{wrong}]"]
    assert answer.kind == "accuracy"
    assert f"the reply to {wrong} is wrong: it lacks 'star', 'left'" in answer.message
    assert "Which shape is on the left?" in done.output
    failed = {name for name, outcome in done.outcomes().items() if outcome == "failed"}
    assert len(failed) == 2
    for test in (rate, answer):
        assert test.message in done.output


def test_phone_that_never_cools_leaves_the_rate_undecided_and_the_answers_judged(
    product: Product, tmp_path: Path
) -> None:
    done = run(product, tmp_path, STAYS_HOT, 60.0, "--fit-wait", "1")
    assert done.exit_status == 75, done.output
    rate = done.tests[f"test_rate[{product.model}-hybrid]"]
    assert rate.kind == "inconclusive"
    why = "the phone did not become fit: skin 44.5 C (at most 39)"
    assert why in rate.message
    assert why in done.output
    answers = [o for name, o in done.outcomes().items() if name.startswith("test_answer")]
    assert set(answers) == {"passed"}
