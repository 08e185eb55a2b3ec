"""The runner under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import boost_headers

from harness.cache import locked
from harness.runtime.build import SOURCE_DIR
from harness.runtime.toolchain import find_toolchain

BUILD_TIMEOUT_S = 1200
VENDOR_LEAKS = Path(__file__).with_name("vendor_leaks.supp")
# Each leak but a vendor's, and the first undefined behaviour, ends the run.
STRICT = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "LSAN_OPTIONS": f"suppressions={VENDOR_LEAKS}",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def build_sanitized(cache_dir: Path) -> Path:
    """A build folder that stays in the cache, so that only what changed is compiled again."""
    toolchain = find_toolchain()
    build_dir = cache_dir / "sanitized_runner"
    configure = [
        *(toolchain.cmake, "--preset", "asan", "-S", SOURCE_DIR, "-B", build_dir),
        f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
        f"-DCMAKE_CXX_COMPILER={toolchain.compiler}",
        f"-Dexecutorch_DIR={toolchain.packages.executorch_cmake_dir}",
        f"-DNLOHMANN_JSON_INCLUDE_DIR={toolchain.json_include_dir}",
        f"-DBOOST_INCLUDE_DIR={boost_headers.get_include()}",
    ]
    with locked(build_dir.with_suffix(".lock"), "building the runner with sanitizers"):
        for argv in (configure, [toolchain.cmake, "--build", build_dir]):
            done = subprocess.run(
                argv,
                cwd=SOURCE_DIR,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, done.stdout
    return build_dir
