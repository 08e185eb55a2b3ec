"""A session on given bundles: what it must not do, and how options choose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.virtual_phone import start_virtual_phone

from .conftest import StartPhone
from .sessions import PROJECT_DIR, PYTEST, Bench
from .workplace import Workplace, case, reply

CASES = {"one": case("First?"), "two": case("Second?"), "three": case("Third?")}
HEAVY = ("torch", "torchao", "transformers", "executorch", "onnxruntime_qnn", "models")
# Python runs it at its start; whoever imports one of the names learns of it at once.
SITECUSTOMIZE = f"""
import sys
class Refusal:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise AssertionError(name + " is imported")
sys.meta_path.insert(0, Refusal)
"""


@pytest.fixture
def both_modes(workplace: Workplace) -> Workplace:
    """One hybrid bundle that serves three cases in both modes."""
    workplace.write_spec(modes=["kv", "hybrid"], cases=CASES)
    workplace.write_bundle(target="simulator")
    workplace.write_runtime()
    return workplace


def test_second_run_pushes_nothing_and_imports_nothing_heavy(
    bench: Bench, both_modes: Workplace, start_phone: StartPhone, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    environ = {"PYTHONPATH": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-c", "import torch"], env=bench.environ(**environ), capture_output=True
    )
    assert b"torch is imported" in refused.stderr
    phone = start_phone(bench.server, name="rerun")
    args = [*both_modes.args, *bench.args(phone), "-m", "smolvlm"]
    first, second = (bench.run(args, environ=environ) for _ in range(2))
    for done in (first, second):
        assert done.exit_status == 0, done.output
        answers = [name for name in done.tests if name.startswith("test_answer")]
        assert len(answers) == 6
        assert {done.tests[name].outcome for name in answers} == {"passed"}
    pushed = [
        sum(int(test.properties.get("pushed_bytes", 0)) for test in done.tests.values())
        for done in (first, second)
    ]
    disk = bench.disk("SM8750-rerun")
    assert pushed == [sum(path.stat().st_size for path in disk.stored()), 0]
    assert pushed[0] > 0
    assert not disk.run_folders()


def test_one_bundle_for_several_models_takes_its_own_and_says_what_is_left_out(
    bench: Bench, workplace: Workplace
) -> None:
    for model in ("toy", "other"):
        workplace.write_spec(model)
    bundle = workplace.write_bundle(target="simulator")
    workplace.write_runtime()
    args = [*workplace.args, "--pre-gen-pte", str(bundle), *bench.args(bench.simulated)]
    done = bench.run([*args, "-m", "smolvlm and (accuracy or size)"])
    assert done.exit_status == 0
    assert done.outcomes() == {
        "test_answer[toy-hybrid-red]": "passed",
        "test_size[toy-hybrid]": "skipped",
    }
    assert f"{bundle} is a bundle of toy: 2 tests of other models left out" in done.output


def test_folder_of_bundles_gives_each_model_its_own_and_names_the_missing(
    bench: Bench, workplace: Workplace
) -> None:
    for model in ("toy", "other", "absent"):
        workplace.write_spec(model, modes=["kv", "hybrid"])
    for mode in ("kv", "hybrid"):
        workplace.write_bundle("toy", mode=mode, target="simulator")
    workplace.write_bundle("other", target="simulator")
    workplace.write_runtime()
    done = bench.run([*workplace.args, *bench.args(bench.simulated), "--mode", "kv", "-m", "size"])
    outcomes = done.outcomes()
    missing = done.tests["test_size[absent-kv]"]
    assert outcomes["test_size[toy-kv]"] == outcomes["test_size[other-kv]"] == "skipped"
    assert missing.outcome == "error"
    assert f"{workplace.bundles_dir}/absent/SM8750/kv/manifest.json" in missing.message
    assert f"{workplace.bundles_dir}/absent/SM8750/hybrid/manifest.json" in missing.message
    assert done.exit_status == 1
    assert len(outcomes) == 3


def test_options_have_the_spellings_of_executorch(bench: Bench, both_modes: Workplace) -> None:
    server = bench.server.server
    done = bench.run(
        [
            *("--specs", str(both_modes.specs_dir), "--runtime", str(both_modes.runtime_dir)),
            *("--pre_gen_pte", str(both_modes.bundles_dir), "--soc_model", "SM8750"),
            *("--host", server.host, "--adb-port", str(server.port)),
            *("--device", bench.simulated.serial, "--mode", "kv", "-m", "accuracy"),
        ]
    )
    assert done.exit_status == 0, done.output
    assert sorted(done.tests) == [f"test_answer[toy-kv-{name}]" for name in sorted(CASES)]


def test_serial_given_twice_runs_on_both_phones(
    bench: Bench, simulated_work: Workplace, start_phone: StartPhone
) -> None:
    phones = (bench.simulated, start_phone(bench.server, name="second"))
    done = bench.run([*simulated_work.args, *bench.args(*phones), "-m", "accuracy"])
    assert done.exit_status == 0, done.output
    serials = {test.properties["device.serial"] for test in done.tests.values()}
    assert serials == {phone.serial for phone in phones}
    assert set(done.tests) == {f"test_answer[toy-hybrid@{serial}-red]" for serial in serials}


def test_target_that_the_device_cannot_load_is_refused(
    bench: Bench, simulated_work: Workplace
) -> None:
    args = [*simulated_work.args, *bench.args(bench.simulated), "--target", "silicon"]
    message = bench.run([*args, "-m", "size"]).only_error()
    assert "--target silicon was asked for, which this device cannot load" in message
    assert "--target simulator" in message


def test_markers_are_those_of_specs_and_kinds(bench: Bench, simulated_work: Workplace) -> None:
    done = bench.run(["--specs", str(simulated_work.specs_dir), "--markers"])
    assert done.exit_status == 0
    for name in ("smolvlm", "toy", "accuracy", "perf", "size"):
        assert f"@pytest.mark.{name}: " in done.output


@pytest.mark.parametrize(
    ("folder", "chosen"), [(".", []), ("tests", ["device"])], ids=["root", "subfolder"]
)
def test_option_with_a_path_elsewhere_does_not_hide_the_configuration(
    bench: Bench, simulated_work: Workplace, folder: str, chosen: list[str]
) -> None:
    program = [str(Path(sys.executable).with_name("pytest"))]
    args = [*chosen, *simulated_work.args, *bench.args(bench.simulated), "-m", "size"]
    environ = {"PYTEST_ADDOPTS": "-v -p no:hydra_pytest"}
    done = bench.run(args, program=program, cwd=PROJECT_DIR / folder, environ=environ)
    assert done.exit_status == 0, done.output
    assert done.outcomes() == {"test_size[toy-hybrid]": "skipped"}
    assert f"rootdir: {PROJECT_DIR}\n" in done.output
    assert "configfile: pyproject.toml" in done.output
    assert done.output.count("test session starts") == 1


def test_push_that_takes_time_shows_a_bar_on_a_terminal(
    bench: Bench, simulated_work: Workplace, start_phone: StartPhone
) -> None:
    phone = start_phone(bench.server, "slow_link=10000", name="slow")
    in_terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
    args = [*simulated_work.args, *bench.args(phone), "-m", "accuracy"]
    done = bench.run(args, program=[*in_terminal, *PYTEST], environ={"TERM": "xterm"})
    assert done.outcomes() == {"test_answer[toy-hybrid-red]": "passed"}
    assert f"pushing to {phone.serial}" in done.output


def test_virtual_phone_and_two_workers_give_one_table_and_one_status(
    bench: Bench, workplace: Workplace
) -> None:
    cases = {**CASES, "wrong": case("Fourth?", all_of=["green"])}
    workplace.write_spec(cases=cases)
    workplace.write_spec("other")
    bundle = workplace.write_bundle(target="simulator")
    workplace.write_runtime(reply("the shape is red"))
    args = [*workplace.args, "--pre-gen-pte", str(bundle), "--serial", "virtual"]
    program = [sys.executable, "-m", "pytest"]
    done = bench.run([*args, "-n", "2", "-m", "accuracy"], program=program)
    assert done.exit_status == 1, done.output
    outcomes = done.outcomes()
    assert outcomes.pop("test_answer[toy-hybrid-wrong]") == "failed"
    assert outcomes == {f"test_answer[toy-hybrid-{name}]": "passed" for name in CASES}
    rows = [line.split()[3:5] for line in done.output.splitlines() if line.startswith("toy ")]
    assert sorted(rows) == sorted([*([name, "pass"] for name in CASES), ["wrong", "fail"]])
    assert done.output.count("is a bundle of toy: 1 tests of other models left out") == 1


def test_two_workers_without_a_phone_end_as_trouble_of_the_bench(
    bench: Bench, both_modes: Workplace
) -> None:
    args = [*both_modes.args, *bench.adb_args, "--serial", "NOPE", "-n", "2", "-m", "accuracy"]
    done = bench.run(args)
    message = done.only_error()
    assert done.exit_status == 70
    assert "opening device NOPE" in message
    assert "no usable device is left" in done.output


def test_second_session_with_a_virtual_phone_gets_one_of_its_own(
    bench: Bench, both_modes: Workplace, cache_dir: Path
) -> None:
    args = [*both_modes.args, "--serial", "virtual", "--soc", "sm8750", "-m", "smolvlm"]
    with start_virtual_phone("SM8750", "default"):  # as a session under way holds it
        done = bench.run(args)
    assert done.exit_status == 0, done.output
    assert bench.disk("SM8750-default-2").stored()
