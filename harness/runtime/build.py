"""Compiling the runner with CMake."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import RuntimeFolderError
from harness.failures import FAILURES_PATH
from harness.runtime.toolchain import DOING, Toolchain

Progress = Callable[[str], None]

EXECUTABLE = "vlm_runner"
SOURCE_DIR = Path(__file__).parents[2] / "cpp_runner"
_BUILT_FROM = ("CMakeLists.txt", "CMakePresets.json", "cmake", "src")


def source_files() -> tuple[Path, ...]:
    """The runner's sources, in a fixed order.

    Raises:
        RuntimeFolderError: the harness was installed without them.
    """
    files: list[Path] = []
    for name in _BUILT_FROM:
        path = SOURCE_DIR / name
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [path for path in files if path.is_file()]
    if not files:
        raise RuntimeFolderError(
            DOING,
            f"the runner's sources are not in {SOURCE_DIR}",
            hint="run from a clone of the repository, or give --runtime DIR",
        )
    return tuple(files)


def source_sha256() -> str:
    """One hash over names and contents of the runner's sources."""
    digest = hashlib.sha256()
    for path in source_files():
        name = path.relative_to(SOURCE_DIR).as_posix()
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update(FAILURES_PATH.read_bytes())  # the runner's exit codes are made of it
    return digest.hexdigest()


@dataclass(frozen=True)
class Build:
    """How to configure the runner: a preset of CMakePresets.json, and what it leaves open."""

    preset: str
    cmake: Path
    definitions: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=dict)


def host_build(toolchain: Toolchain) -> Build:
    """For this machine, against its own executorch package."""
    return Build(
        preset="host",
        cmake=toolchain.cmake,
        definitions={
            "CMAKE_CXX_COMPILER": str(toolchain.compiler),
            **common_definitions(toolchain, toolchain.packages.executorch_cmake_dir),
        },
    )


def common_definitions(toolchain: Toolchain, executorch_cmake_dir: Path) -> dict[str, str]:
    """What every preset needs to know."""
    return {
        "CMAKE_MAKE_PROGRAM": str(toolchain.ninja),
        "executorch_DIR": str(executorch_cmake_dir),
        "NLOHMANN_JSON_INCLUDE_DIR": str(toolchain.json_include_dir),
    }


def compile_runner(build: Build, out_dir: Path, log: Path, progress: Progress) -> Path:
    """Build the runner and install it into `out_dir`; the compiler's talk goes to `log`.

    Returns:
        The program's path.

    Raises:
        RuntimeFolderError: a step failed; it carries the log.
    """
    source_files()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="vlm-runner-build-") as build_dir:
        for stage, argv in _stages(build, Path(build_dir), out_dir):
            progress(f"{DOING}: {stage}")
            _run_stage(stage, argv, build, log)
    return out_dir / EXECUTABLE


def _stages(build: Build, build_dir: Path, out_dir: Path) -> tuple[tuple[str, Sequence[str]], ...]:
    cmake = str(build.cmake)
    configure = [
        cmake,
        *("--preset", build.preset, "-S", str(SOURCE_DIR), "-B", str(build_dir)),
        *(f"-D{name}={value}" for name, value in build.definitions.items()),
    ]
    return (
        ("configure", configure),
        ("compile", [cmake, "--build", str(build_dir)]),
        ("install", [cmake, "--install", str(build_dir), "--prefix", str(out_dir), "--strip"]),
    )


def _run_stage(stage: str, argv: Sequence[str], build: Build, log: Path) -> None:
    # CMake asks the interpreter on PATH for its ABI tag; let it meet this environment's.
    path = f"{build.cmake.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **build.environ, "PATH": path},
            cwd=SOURCE_DIR,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeFolderError(
            DOING,
            f"{stage} failed with exit status {done.returncode}: {_last_error(log)}",
            hint="read the log; the compiler must know C++17",
            log=log,
        )


def _last_error(log: Path) -> str:
    """The first line of the log that looks like the reason."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("CMake Error"):  # the reason is indented below it
            told = itertools.takewhile(str.strip, lines[number + 1 :])
            return " ".join([line.strip(), *(part.strip() for part in told)])
        if "error" in line.lower():
            return line.strip()
    return lines[-1].strip() if lines else "no output"
