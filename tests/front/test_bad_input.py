"""Wrong specs and command lines: one message each before any test, and never a pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.virtual_phone.stub_runtime import make_stub_runtime

from .conftest import StartPhone
from .sessions import Bench
from .workplace import Workplace, case


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"promt": "x"}, ["$.promt", "unknown key"]),
        ({"max_seq_len": "big"}, ["$.max_seq_len", '"big" is not a whole number']),
        ({"cases": {"red": {**case(), "image": "gone.png"}}}, ["$.cases.red.image", "gone.png"]),
        ({"schema": 2, "modes": ["fast"]}, ["$.schema", "$.modes", "2 problems"]),
    ],
    ids=["unknown_key", "wrong_type", "missing_picture", "two_mistakes"],
)
def test_spec_with_mistakes_ends_the_session_before_any_test(
    bench: Bench, workplace: Workplace, changes: dict[str, Any], messages: list[str]
) -> None:
    path = workplace.write_spec(**changes)
    done = bench.run(["--specs", str(workplace.specs_dir)])
    assert done.exit_status == 4
    for message in messages:
        assert message in done.output
    assert done.output.count(f"reading {workplace.specs_dir}") == 1
    assert f"{path}:" in done.output
    assert "Traceback" not in done.output
    assert not done.tests


@pytest.mark.parametrize(
    ("args", "messages"),
    [
        (["--soc", "SM8751"], ["unknown SoC 'SM8751'", "did you mean SM8750?"]),
        (["-m", "perf and smolvm"], ["no model, family or kind of check 'smolvm'", "smolvlm?"]),
        (["--compile-only"], ["--compile-only needs --soc", "--soc SM8750"]),
        (["--phone-profile", "x.yaml"], ["--phone-profile", "--serial virtual"]),
        (["--specs", "/nonexistent"], ["reading the specs in /nonexistent: no such folder"]),
        (["--mode", "fast"], ["--mode", "'fast'"]),
        (["--recipe", "decoder=fp16"], ["reading --recipe decoder=fp16", "no component"]),
        (
            ["--recipe", "text_decoder.kv_cache_bits=8", "--backend", "xnnpack"],
            ["for the HTP, and the backend is xnnpack", "recipe_xnnpack in the spec"],
        ),
    ],
    ids=[
        *("unknown_soc", "unknown_model", "compile_only", "profile", "specs", "mode", "recipe"),
        "recipe_of_the_cpu",
    ],
)
def test_command_line_that_cannot_be_followed_is_a_usage_error(
    bench: Bench, simulated_work: Workplace, args: list[str], messages: list[str]
) -> None:
    done = bench.run(["--specs", str(simulated_work.specs_dir), *args])
    assert done.exit_status == 4
    for message in messages:
        assert message in done.output
    assert "Traceback" not in done.output
    assert not done.tests


def _truncate(bundle: Path) -> None:
    path = bundle / "hybrid_llama_qnn.pte"
    path.write_bytes(path.read_bytes()[:-1])


def _alter(bundle: Path) -> None:
    path = bundle / "hybrid_llama_qnn.pte"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _edit_manifest(bundle: Path, old: str, new: str) -> None:
    path = bundle / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Model -> how its bundle is spoilt, and what is said of it.
SPOILT: dict[str, tuple[Any, list[str]]] = {
    "truncated": (_truncate, ["hybrid_llama_qnn.pte is truncated: 3999 bytes", "4000 bytes"]),
    "altered": (_alter, ["hybrid_llama_qnn.pte has sha256"]),
    "other_soc": (
        lambda bundle: _edit_manifest(bundle, '"soc": "SM8750"', '"soc": "SM8650"'),
        ["it was made for SoC SM8650, not SM8750", "--soc SM8750"],
    ),
    "other_model": (
        lambda bundle: _edit_manifest(bundle, '"model": "other_model"', '"model": "another"'),
        ["it was made for model another, not other_model"],
    ),
    "two_models": (
        lambda bundle: (bundle / "kv_llama_qnn.pte").write_bytes(b"a PTE"),
        ["it also holds PTEs of something else: kv_llama_qnn.pte", "one model in one folder"],
    ),
    "silicon": (
        lambda bundle: _edit_manifest(bundle, '"target": "simulator"', '"target": "silicon"'),
        ["it was made for target silicon, not simulator"],
    ),
    "stale": (
        lambda bundle: _edit_manifest(bundle, '"inputs_sha256": "', '"inputs_sha256": "0'),
        ["the prompts or pictures of case 'red' is another one than in the spec"],
    ),
    "missing": (
        lambda bundle: (bundle / "manifest.json").unlink(),
        ["missing/SM8750/hybrid/manifest.json"],
    ),
}


def test_bundle_that_is_not_what_is_wanted_is_refused_before_any_push(
    bench: Bench, workplace: Workplace, start_phone: StartPhone
) -> None:
    for model, (spoil, _) in SPOILT.items():
        workplace.write_spec(model)
        spoil(workplace.write_bundle(model, target="simulator"))
    (workplace.bundles_dir / "missing/SM8750/hybrid/hybrid_llama_qnn.pte").unlink()
    workplace.write_runtime()
    phone = start_phone(bench.server, name="untouched")
    done = bench.run([*workplace.args, *bench.args(phone)])
    assert done.exit_status == 1
    assert set(done.outcomes().values()) == {"error"}
    for model, (_, messages) in SPOILT.items():
        test = done.tests[f"test_answer[{model}-hybrid-red]"]
        for message in messages:
            assert message in test.message
        assert "hint:" in test.message
        assert test.properties["failure.class"] == "bundle"
        body = "\n".join(test.message.splitlines()[1:])
        assert done.output.count(body) == 1
    assert "Traceback" not in done.output
    assert not bench.disk("SM8750-untouched").stored()


def test_no_compiler_is_one_error_and_says_how_to_get_one(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    args = [*simulated_work.args_without_runtime, *bench.args(bench.simulated)]
    done = bench.run(args, environ={"PATH": str(tmp_path)})
    message = done.only_error()
    assert done.exit_status == 1
    assert "no C++ compiler: none of c++, g++, clang++ is on PATH" in message
    assert "apt-get install g++" in message


@pytest.mark.parametrize("given", [True, False], ids=["other_abi", "none"])
def test_no_runtime_for_the_abi_is_one_error_that_names_it(
    bench: Bench, workplace: Workplace, given: bool
) -> None:
    workplace.write_spec()
    workplace.write_bundle()
    make_stub_runtime(workplace.runtime_dir, {}, abi="arm64-v8a", htp_archs=[73])
    args = workplace.args if given else workplace.args_without_runtime
    done = bench.run([*args, *bench.args(bench.silicon)])
    message = done.only_error()
    assert done.exit_status == 1
    assert "x86_64" in message
    assert "no usable device is left" in done.output


def test_recipe_that_the_soc_cannot_run_is_one_spec_error(
    bench: Bench, simulated_work: Workplace
) -> None:
    specs = str(simulated_work.specs_dir)
    done = bench.run(["--specs", specs, "--soc", "SM8350", "--compile-only"])
    assert done.exit_status == 4
    assert done.output.count("SM8350 has HTP V68") == 2  # the vision encoder, and the decoder
    assert done.output.count("$.recipe.text_decoder: its attention multiplies by a 16-bit") == 1
    assert "Traceback" not in done.output
    assert not done.tests
