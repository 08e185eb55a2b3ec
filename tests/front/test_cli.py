"""`python -m harness`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness

from .sessions import PROJECT_DIR, Bench
from .workplace import Workplace


def test_help_names_every_command(bench: Bench) -> None:
    done = bench.command("--help")
    assert done.returncode == 0
    for name in ("compile", "validate", "devices", "doctor", "runtime", "virtual-phone"):
        assert f"\n    {name}" in done.stdout


def test_validate_accepts_the_specs_of_the_project(bench: Bench) -> None:
    done = bench.command("validate")
    assert done.returncode == 0, done.stderr
    assert "smolvlm_500m_instruct is fine" in done.stdout


def test_validate_tells_every_problem_of_every_file(bench: Bench, workplace: Workplace) -> None:
    good = workplace.write_spec("good")
    two = workplace.write_spec("two", schema=2, promt="x")
    one = workplace.write_spec("one", max_seq_len="big")
    done = bench.command("validate", str(two), str(good), str(one), "no_such_model")
    assert done.returncode == 1
    assert "good is fine" in done.stdout
    for problem in (
        f"reading {two}: 2 problems",
        "$.schema",
        "$.promt",
        f"reading {one}: 1 problem",
        "unknown model 'no_such_model'",
    ):
        assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_for_a_soc_tells_what_it_cannot_run(bench: Bench, workplace: Workplace) -> None:
    path = str(workplace.write_spec("good"))
    assert bench.command("validate", path, "--soc", "SM8650").returncode == 0
    done = bench.command("validate", path, "--soc", "SM8450")
    assert done.returncode == 1
    assert "kv_cache_bits: 8" in done.stderr
    assert "SM8450 has HTP V69" in done.stderr


def test_devices_says_what_each_is(bench: Bench) -> None:
    done = bench.command("devices", *bench.adb_args)
    assert done.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines[bench.simulated.serial] == "SM8750   x86_64     Virtual SM8750  simulated"
    assert lines[bench.silicon.serial] == "SM8750   x86_64     Virtual SM8750"


def test_devices_without_a_server_is_trouble_of_the_bench(bench: Bench) -> None:
    done = bench.command("devices", "--adb-port", "1")
    assert done.returncode == 70
    assert "127.0.0.1:1: nothing listens there" in done.stderr
    assert "hint:" in done.stderr


def test_doctor_finds_adb_server_and_devices(bench: Bench) -> None:
    done = bench.command("doctor", *bench.adb_args)
    assert f"ok  adb server       {bench.server.server.address}" in done.stdout
    assert f"ok  device           {bench.silicon.serial} is device" in done.stdout
    assert "adb " in done.stdout
    assert "glibc" in done.stdout


def test_doctor_names_what_is_missing_and_the_command_that_fixes_it(
    bench: Bench, tmp_path: Path
) -> None:
    environ = {
        "PATH": str(tmp_path),
        "ADBUTILS_ADB_PATH": "/nonexistent/adb",
        "QNN_SDK_ROOT": "/nonexistent/qnn",
    }
    done = bench.command("doctor", "--adb-port", "1", environ=environ)
    assert done.returncode == 1
    findings = [line for line in done.stdout.splitlines() if line.startswith("-- ")]
    for what in ("adb ", "adb server", "compiler stack", "C++ compiler"):
        assert any(line.startswith(f"--  {what}") for line in findings), done.stdout
    assert done.stdout.count("fix: ") == len(findings)
    assert "fix: apt-get install g++" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["smolvlm_500m_instruct", "--soc", "SM8751"], 1, "did you mean SM8750?"),
        (["smolvlm_500m", "--soc", "SM8750"], 1, "did you mean smolvlm_500m_instruct?"),
        (["smolvlm_500m_instruct", "--soc", "SM8750", "--mode", "fast"], 2, "'fast'"),
    ],
    ids=["soc", "model", "mode"],
)
def test_compile_of_something_unknown_is_refused(
    bench: Bench, tmp_path: Path, args: list[str], status: int, message: str
) -> None:
    done = bench.command("compile", *args, "--out", str(tmp_path / "out"))
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_compile_into_a_folder_that_holds_something_is_refused(
    bench: Bench, workplace: Workplace, tmp_path: Path
) -> None:
    spec_path = workplace.write_spec()
    args = [str(spec_path), "--soc", "SM8750", "--out", str(workplace.specs_dir)]
    done = bench.command("compile", *args)
    assert done.returncode == 1
    assert f"{workplace.specs_dir} is not empty" in done.stderr
    done = bench.command("compile", *args[:-1], str(tmp_path / "new"), "--mode", "kv")
    assert done.returncode == 1
    assert "--mode kv is not one of its modes" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "it is for one HTP arch, which was not said\n  hint:     --htp-arch 79"),
        (["--htp-arch", "79"], "ANDROID_NDK names no folder"),
    ],
)
def test_runtime_for_a_phone_says_what_it_needs(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.delenv("ANDROID_NDK", raising=False)
    out = str(tmp_path / "out")
    done = bench.command("runtime", "--abi", "arm64-v8a", *options, "--out", out)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_virtual_phone_of_an_unknown_soc_is_refused(bench: Bench) -> None:
    done = bench.command("virtual-phone", "--soc", "SM8751")
    assert done.returncode == 1
    assert "SM8750" in done.stderr


def test_older_python_gets_one_line() -> None:
    code = "import runpy, sys; sys.version_info = (3, 10, 0); runpy.run_module('harness')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or later" in done.stderr
    # An older Python must be able to parse what it runs before that line.
    for name in ("__init__.py", "__main__.py"):
        source = (Path(harness.__file__).parent / name).read_text()
        ast.parse(source, feature_version=(3, 4))
