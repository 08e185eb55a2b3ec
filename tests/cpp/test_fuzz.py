"""libFuzzer on what reads hostile bytes: 20 seconds here, 10 minutes in `tox -e fuzz`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cache import locked
from harness.runtime.toolchain import find_toolchain
from tests.cpp.conftest import SUITE_CACHE_DIR
from tests.sanitized import BUILD_TIMEOUT_S

SOURCE_DIR = Path(__file__).with_name("fuzz")
# Of the time, by how much there is to find.
SHARES = {"fuzz_request": 0.7, "fuzz_pte_header": 0.15, "fuzz_log_line": 0.15}
FUZZ_S = float(os.environ.get("VLM_FUZZ_S", "20"))


@pytest.fixture(scope="session")
def fuzzers_dir() -> Path:
    clang = shutil.which("clang++")
    assert clang is not None, "libFuzzer is clang's: sudo apt-get install clang"
    toolchain = find_toolchain()
    build_dir = SUITE_CACHE_DIR / "fuzzers"
    configure = [
        *(toolchain.cmake, "-G", "Ninja", "-S", SOURCE_DIR, "-B", build_dir),
        f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
        f"-DCMAKE_CXX_COMPILER={clang}",
        f"-DNLOHMANN_JSON_INCLUDE_DIR={toolchain.json_include_dir}",
    ]
    with locked(build_dir.with_suffix(".lock"), "building the fuzzers"):
        for argv in (configure, [toolchain.cmake, "--build", build_dir]):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return build_dir


@pytest.mark.timeout(BUILD_TIMEOUT_S + 2 * FUZZ_S)
@pytest.mark.parametrize("name", SHARES)
def test_fuzzer_finds_nothing(fuzzers_dir: Path, tmp_path: Path, name: str) -> None:
    found = tmp_path / "corpus"  # libFuzzer writes what it finds into the first folder
    found.mkdir()
    done = subprocess.run(
        [
            *(fuzzers_dir / name, found, SOURCE_DIR / "corpus" / name),
            f"-max_total_time={max(1, round(FUZZ_S * SHARES[name]))}",
            *("-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"),
            f"-artifact_prefix={tmp_path}/",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    print("\n".join(line for line in done.stderr.splitlines() if line.startswith("stat::")))
    assert done.returncode == 0, done.stderr[-6000:]
    runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    assert runs, done.stderr[-2000:]
    assert int(runs[0].split()[-1]) > len(list((SOURCE_DIR / "corpus" / name).iterdir()))
