"""An 8-bit KV cache whose encodings are too narrow for what it holds must fail, and does.

It is compiled for the CPU: there the encodings stand in the PTE as plain numbers, so a test can
narrow them as a calibration that saw too little would. In a context binary they cannot be reached.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.bundle import Bundle, describe_files, load_bundle, write_manifest
from harness.cache import cache_root
from harness.compile import BundleRequest, compile_bundle
from harness.device import start_private_server
from harness.pte_contents import read_contents
from harness.runtime import Runtime, find_runtime
from harness.socs import specs_dir
from harness.spec import load_spec
from harness.virtual_phone import start_virtual_phone
from tests.front.sessions import Bench, SessionOutcome

MODEL = "smolvlm_tiny"
SOC = "SM8750"
CASES = ("red_circle", "star_left", "three_squares", "yellow_triangle")
CHECKS = "test_answer or test_agreement or test_logits or test_perplexity"
# In the only graph of mode kv each encoding is written with, read with, and told to the runner.
TIMES_IN_PTE = 3
SESSION_S = 300.0
Ask = Callable[[Path], SessionOutcome]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model's spec, but for the width of its cache."""
    folder = tmp_path_factory.mktemp("specs")
    changes = {
        "schema": 1,
        "extends": str(specs_dir() / f"{MODEL}.yaml"),
        "recipe_xnnpack": {"text_decoder": {"kv_cache_bits": 8}},
    }
    (folder / f"{MODEL}.yaml").write_text(yaml.safe_dump(changes))
    return folder


@pytest.fixture(scope="module")
def sound(specs: Path) -> Bundle:
    """The bundle as it was calibrated."""
    request = BundleRequest(load_spec(specs / f"{MODEL}.yaml"), None, "kv", "simulator", "xnnpack")
    return compile_bundle(request, None, lambda stage: None)


@pytest.fixture(scope="module")
def cpu_runtime() -> Runtime:
    return find_runtime("x86_64", 79, simulated=True, backend="xnnpack")


@pytest.fixture(scope="module")
def ask(
    specs: Path, cpu_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ask]:
    """Runs the checks of the product on a bundle, on a virtual phone."""
    with start_private_server(tmp_path_factory.mktemp("adb")) as server:
        key = server.public_key_path
        with start_virtual_phone(SOC, "e2e-overflow", authorized_key=key) as phone:
            server.server.connect_tcp(phone.serial)
            bench = Bench(server, cache_root(), phone, phone)
            options = ["--specs", str(specs), "--runtime", str(cpu_runtime.dir), "--mode", "kv"]
            options += ["--backend", "xnnpack", "-k", CHECKS, *bench.args(phone)]

            def run(folder: Path) -> SessionOutcome:
                return bench.run([*options, f"--pre-gen-pte={folder}"], end_s=SESSION_S)

            yield run


def narrowed(bundle: Bundle, folder: Path, times: float) -> Path:
    """A copy whose cache holds values a few times smaller; what is larger is clipped to 8 bits."""
    shutil.copytree(bundle.dir, folder)
    path = folder / bundle.manifest.components["text_decoder"].file
    constants = read_contents([path])[path].constants
    encodings = {name: value for name, value in constants.items() if "kv_output" in name}
    assert len(encodings) == 4, "K and V of two layers"
    pte = path.read_bytes()
    for scale, *_, storage in encodings.values():
        assert storage == "torch.uint8"
        wide, narrow = struct.pack("<d", scale), struct.pack("<d", scale / times)
        assert pte.count(wide) == TIMES_IN_PTE
        pte = pte.replace(wide, narrow)
    path.write_bytes(pte)
    write_manifest(folder, replace(bundle.manifest, files=describe_files(folder)))
    load_bundle(folder)
    return folder


def failures(done: SessionOutcome) -> dict[str, str]:
    """Messages of the tests that failed; each must be one of accuracy, told on the terminal."""
    failed = {name: test for name, test in done.tests.items() if test.outcome == "failed"}
    assert {test.kind for test in failed.values()} <= {"accuracy"}
    assert all(test.message in done.output for test in failed.values())
    return {name.partition("[")[0]: test.message for name, test in failed.items()}


def test_cache_within_its_range_passes_every_check(sound: Bundle, ask: Ask) -> None:
    done = ask(sound.dir)
    assert done.exit_status == 0, done.output
    assert set(done.outcomes().values()) == {"passed"}
    assert len(done.outcomes()) == len(CASES) + 3
    known = [test.properties for test in done.tests.values()]
    assert {(told["soc"], told["mode"], told["verdict"]) for told in known} == {(SOC, "kv", "pass")}
    assert all(told["device.serial"] for told in known)


def test_overflow_that_no_answer_shows_fails_by_its_logits_and_perplexity(
    sound: Bundle, ask: Ask, tmp_path: Path
) -> None:
    done = ask(narrowed(sound, tmp_path / "bundle", 2))
    assert done.exit_status == 1, done.output
    messages = failures(done)
    assert set(messages) == {"test_logits", "test_perplexity"}, done.output
    assert "are far from the float model's: SQNR in dB is" in messages["test_logits"]
    assert "times the float model's" in messages["test_perplexity"]


def test_wider_overflow_fails_every_check_and_says_where_it_parts_from_the_float_model(
    sound: Bundle, ask: Ask, tmp_path: Path
) -> None:
    done = ask(narrowed(sound, tmp_path / "bundle", 4))
    assert done.exit_status == 1, done.output
    messages = failures(done)
    assert set(messages) == {"test_answer", "test_agreement", "test_logits", "test_perplexity"}
    assert "the reply to yellow_triangle is wrong: it lacks 'triangle'" in messages["test_answer"]
    assert "the reply parts after" in messages["test_answer"]
    assert "parts from the float model's at token" in messages["test_agreement"]
    assert "below the floor 25" in messages["test_logits"]
