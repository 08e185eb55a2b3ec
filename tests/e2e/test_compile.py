"""Bundles that the command line compiles, and what they hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bundle import Bundle, load_bundle
from harness.compile import BundleRequest, Stage, compile_bundle
from harness.device import Device
from harness.errors import CompileError
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime
from harness.socs import find_soc
from harness.spec import Spec

ROOT = Path(__file__).resolve().parents[2]

# A model of which the HTP takes only parts: QNN has no operator for a Bessel function.
UNDELEGATED = """
import sys, torch
from harness.compile.lower import Graph, HtpOptions, lower
from harness.compile.pte import check_fully_delegated, read_methods
from harness.compile.quantize import calibrate, convert, prepare
from harness.errors import CompileError
from harness.spec import ComponentRecipe

class Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(32, 32), torch.nn.Linear(32, 32)
    def forward(self, x):
        return self.last(torch.special.bessel_j0(self.first(x)))

example = (torch.randn(1, 32),)
with torch.no_grad():
    prepared = prepare(Broken().eval(), example, "SM8750", ComponentRecipe("16a8w"))
    calibrate(prepared, [example])
pte = lower({"forward": Graph(convert(prepared), example)}, HtpOptions("SM8750", False))
try:
    check_fully_delegated("broken", read_methods(pte), ["forward"], calls=1)
except CompileError as err:
    print(err)
    sys.exit(7)
"""


def compile_quietly(request: BundleRequest, out: Path | None = None) -> Bundle:
    return compile_bundle(request, out, lambda stage: None)


def test_compile_command_writes_a_bundle_of_its_own(tiny_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-m", "harness", "compile", "smolvlm_tiny", "--soc", "SM8750"]
    command += ["--target", "simulator", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SQNR" in done.stdout
    manifest = load_bundle(out, verify="full").manifest
    assert manifest == tiny_bundle.manifest
    assert (manifest.mode, manifest.target, manifest.htp_arch) == ("hybrid", "simulator", 79)


def test_kv_bundle_has_the_decode_graph_only_and_answers(
    tiny_spec: Spec, tiny_bundle: Bundle, phone: Device, runtime: Runtime
) -> None:
    request = BundleRequest(tiny_spec, find_soc("SM8750"), "kv", "simulator")
    bundle = compile_quietly(request)
    decoder = bundle.manifest.components["text_decoder"]
    assert decoder.file == "kv_llama_qnn.pte"
    assert set(decoder.methods) == {"kv_forward"}
    assert bundle.manifest.serves_modes == ("kv",)
    ours, theirs = (b.manifest.files["vision_encoder_qnn.pte"] for b in (bundle, tiny_bundle))
    assert ours == theirs
    assert constants(bundle) == constants(tiny_bundle)
    assert decoder.sqnr_db is not None
    assert decoder.sqnr_db >= 25
    name, case = next(iter(tiny_spec.cases.items()))
    run = run_case(phone, runtime, RunRequest(bundle, name, "kv", case.max_new_tokens, 300.0))
    assert run.turn.generated_token_ids == bundle.manifest.cases[name].reference_token_ids


def test_silicon_bundle_shares_weights_and_is_smaller(tiny_spec: Spec, tiny_bundle: Bundle) -> None:
    request = BundleRequest(tiny_spec, find_soc("SM8650"), "hybrid", "silicon")
    bundle = compile_quietly(request)
    assert (bundle.manifest.target, bundle.manifest.htp_arch) == ("silicon", 75)
    shared = bundle.pte_size_bytes()["text_decoder"]
    assert shared < 0.8 * tiny_bundle.pte_size_bytes()["text_decoder"]
    assert bundle.manifest.components["text_decoder"].sqnr_db is None


def test_changed_case_compiles_no_component(tiny_spec: Spec, tiny_bundle: Bundle) -> None:
    name, case = next(iter(tiny_spec.cases.items()))
    cases = {**tiny_spec.cases, name: replace(case, max_new_tokens=7)}
    stages: list[Stage] = []
    request = BundleRequest(
        replace(tiny_spec, cases=cases), find_soc("SM8750"), "hybrid", "simulator"
    )
    compile_bundle(request, None, stages.append)
    compiled = {stage.part for stage in stages if stage.stage != "cached"}
    assert compiled == {"case_inputs"}


def test_damaged_bundle_of_the_cache_is_made_anew(tiny_spec: Spec, tiny_bundle: Bundle) -> None:
    (tiny_bundle.dir / "tokenizer.json").write_text("{}")
    bundle = compile_quietly(BundleRequest(tiny_spec, find_soc("SM8750"), "hybrid", "simulator"))
    assert bundle.manifest == tiny_bundle.manifest
    assert load_bundle(bundle.dir, verify="full").manifest == bundle.manifest


def test_prompt_that_does_not_fit_is_a_compile_error(tiny_spec: Spec) -> None:
    name, case = next(iter(tiny_spec.cases.items()))
    cases = {**tiny_spec.cases, name: replace(case, prompt="word " * 200)}
    request = BundleRequest(
        replace(tiny_spec, cases=cases), find_soc("SM8750"), "hybrid", "simulator"
    )
    with pytest.raises(CompileError, match=r"prompt of \d+ tokens") as caught:
        compile_quietly(request)
    assert caught.value.log is not None


def test_graph_that_falls_apart_is_refused_with_its_operators() -> None:
    done = run_with_stack(UNDELEGATED)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "bessel" in done.stdout
    assert "CPU kernels" in done.stdout


def constants(bundle: Bundle) -> dict[str, object]:
    """Values of the constant methods of the decoder that tell encodings."""
    code = (
        "import json, sys; from executorch.runtime import Runtime\n"
        "program = Runtime.get().load_program(sys.argv[1])\n"
        "names = sorted(n for n in program.method_names"
        " if n.startswith(('get_kv_output', 'get_logits')))\n"
        "print(json.dumps({n: program.load_method(n).execute([]) for n in names}))"
    )
    done = run_with_stack(code, str(bundle.component_path("text_decoder")))
    values: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert len(values) > 2
    return values


def run_with_stack(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the compiler stack's environment."""
    from harness.compile.stack import find_compiler_stack

    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **find_compiler_stack().environment()},
        capture_output=True,
        text=True,
        check=False,
    )
