"""The CPU as second backend: the same cases, modes and runner, no file of Qualcomm's."""

from __future__ import annotations

import pytest

from harness.bundle import Bundle
from harness.compile import BundleRequest, compile_bundle
from harness.device import Device
from harness.errors import RuntimeFolderError
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime, find_runtime
from harness.socs import specs_dir
from harness.spec import Spec, load_spec
from harness.verdict import judge_answer
from harness.vocabulary import Mode

SQNR_DB = 25.0


def compile_for_cpu(spec: Spec, mode: Mode) -> Bundle:
    request = BundleRequest(spec, None, mode, "simulator", "xnnpack")
    return compile_bundle(request, None, lambda stage: None)


@pytest.fixture(scope="module")
def cpu_bundle(tiny_spec: Spec) -> Bundle:
    return compile_for_cpu(tiny_spec, "hybrid")


@pytest.fixture(scope="module")
def cpu_runtime() -> Runtime:
    return find_runtime("x86_64", 79, simulated=True, backend="xnnpack")


@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_the_same_cases_pass_on_the_cpu(
    mode: Mode, phone: Device, cpu_runtime: Runtime, cpu_bundle: Bundle, tiny_spec: Spec
) -> None:
    for name, case in tiny_spec.cases.items():
        request = RunRequest(cpu_bundle, name, mode, case.max_new_tokens, 120.0)
        run = run_case(phone, cpu_runtime, request)
        verdict = judge_answer(case, run.judged)
        assert verdict.outcome == "pass", verdict.sentence
        assert run.turn.requantized_entries == 0


def test_the_other_family_passes_in_lookahead(phone: Device, cpu_runtime: Runtime) -> None:
    spec = load_spec(specs_dir() / "internvl3_tiny.yaml")
    bundle = compile_for_cpu(spec, "lookahead")
    for name, case in spec.cases.items():
        run = run_case(
            phone, cpu_runtime, RunRequest(bundle, name, "lookahead", case.max_new_tokens, 120.0)
        )
        verdict = judge_answer(case, run.judged)
        assert verdict.outcome == "pass", verdict.sentence
        assert run.turn.lookahead is not None


def test_every_component_is_close_to_float(cpu_bundle: Bundle) -> None:
    found = {name: part.sqnr_db for name, part in cpu_bundle.manifest.components.items()}
    assert all(sqnr is not None and sqnr >= SQNR_DB for sqnr in found.values()), found


def test_every_decoder_graph_is_one_call_of_xnnpack(cpu_bundle: Bundle) -> None:
    methods = cpu_bundle.manifest.components["text_decoder"].methods
    calls = {name: method.delegate_calls for name, method in methods.items()}
    assert calls == {"kv_forward": 1, "prefill_forward": 1}


def test_manifest_says_what_it_is(cpu_bundle: Bundle) -> None:
    manifest = cpu_bundle.manifest
    assert (manifest.backend, manifest.soc, manifest.htp_arch) == ("xnnpack", "any", 0)
    assert {part.file for part in manifest.components.values()} == {
        "vision_encoder_xnnpack.pte",
        "tok_embedding_xnnpack.pte",
        "hybrid_llama_xnnpack.pte",
    }
    assert not [name for name in manifest.versions if "qnn" in name]


def test_runtime_for_the_cpu_holds_nothing_of_qnn(cpu_runtime: Runtime, runtime: Runtime) -> None:
    assert not [name for name in cpu_runtime.files if "qnn" in name.lower()]
    assert "libexecutorch_backend_qnn.so" in runtime.files
    assert cpu_runtime.files["vlm_runner"] == runtime.files["vlm_runner"]


def test_pte_for_the_htp_on_a_runtime_for_the_cpu_is_refused_before_any_push(
    phone: Device, cpu_runtime: Runtime, tiny_bundle: Bundle, tiny_spec: Spec
) -> None:
    name = next(iter(tiny_spec.cases))
    with pytest.raises(RuntimeFolderError, match="it has no QNN delegate"):
        run_case(phone, cpu_runtime, RunRequest(tiny_bundle, name, "kv", 8, 120.0))
