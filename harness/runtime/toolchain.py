"""Finding what a runner is built from: compiler, CMake, Ninja and three Python packages.

The packages are looked up by name and used as folders of files; importing executorch
would take seconds and pull torch in.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RuntimeFolderError

DOING = "building the runner"
_PIP_HINT = f"{sys.executable} -m pip install 'vlm-device-harness[runtime]'"


@dataclass(frozen=True)
class Package:
    """An installed Python package, as a folder."""

    dir: Path
    version: str  # without a local part such as "+cpu"


@dataclass(frozen=True)
class Toolchain:
    """Everything a build needs. `compiler_version` is the first line it says of itself."""

    compiler: Path
    compiler_version: str
    cmake: Path
    ninja: Path
    executorch: Package
    json: Package
    qnn: Package
    qnn_version: str

    @property
    def executorch_lib_dir(self) -> Path:
        return self.executorch.dir / "lib"

    @property
    def executorch_cmake_dir(self) -> Path:
        return self.executorch_lib_dir / "cmake" / "executorch"

    @property
    def json_include_dir(self) -> Path:
        return self.json.dir / "include"

    @property
    def qnn_lib_dirs(self) -> tuple[Path, ...]:
        """The QNN libraries, and the C++ runtime their wheel brings along."""
        return self.qnn.dir, self.qnn.dir.with_name(f"{self.qnn.dir.name}.libs")


def find_toolchain() -> Toolchain:
    """All parts, or RuntimeFolderError for the first that is missing."""
    executorch = _find_package("executorch", "executorch")
    qnn = _find_package("onnxruntime-qnn", "onnxruntime_qnn")
    json_package = _find_package("nlohmann-json", "nlohmann_json")
    compiler = find_compiler()
    return Toolchain(
        compiler=compiler,
        compiler_version=_first_line_of_version(compiler),
        cmake=_find_program("cmake"),
        ninja=_find_program("ninja"),
        executorch=executorch,
        json=json_package,
        qnn=qnn,
        qnn_version=_read_qnn_version(qnn),
    )


def packages_installed() -> bool:
    """Whether the packages a Runtime is made of are there, so that one could be made."""
    return all(
        importlib.util.find_spec(name) is not None for name in ("executorch", "onnxruntime_qnn")
    )


def find_compiler() -> Path:
    """The C++ compiler: `CXX` if set, else the first of the usual names."""
    chosen = os.environ.get("CXX")
    for name in [chosen] if chosen else ["c++", "g++", "clang++"]:
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    tried = f"CXX is {chosen}" if chosen else "none of c++, g++, clang++ is on PATH"
    raise RuntimeFolderError(
        DOING,
        f"no C++ compiler: {tried}",
        expected="a compiler for C++17, such as g++ 11 or clang++ 14",
        hint="sudo apt-get install g++",
    )


def _find_program(name: str) -> Path:
    """A program that a Python package brings: beside this interpreter, else on PATH."""
    beside = Path(sys.prefix) / "bin" / name
    if beside.is_file():
        return beside
    path = shutil.which(name)
    if path is None:
        raise RuntimeFolderError(DOING, f"{name} is not installed", hint=_PIP_HINT)
    return Path(path)


def _find_package(distribution: str, module: str) -> Package:
    spec = importlib.util.find_spec(module)
    locations = list(spec.submodule_search_locations or []) if spec is not None else []
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        locations = []
        version = ""
    if not locations:
        raise RuntimeFolderError(
            DOING, f"the Python package {distribution} is not installed", hint=_PIP_HINT
        )
    return Package(dir=Path(locations[0]), version=version.partition("+")[0])


def _read_qnn_version(package: Package) -> str:
    """Qualcomm's version of the libraries, which the package keeps in a file of constants."""
    path = package.dir / "build_and_package_info.py"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^qnn_version\s*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    if found is None:
        raise RuntimeFolderError(
            DOING, f"cannot tell the QNN version of onnxruntime-qnn: {path}", hint=_PIP_HINT
        )
    return found.group(1)


def _first_line_of_version(compiler: Path) -> str:
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as err:
        raise RuntimeFolderError(
            DOING,
            f"the C++ compiler {compiler} does not run: {err}",
            hint="set CXX to one that does",
        ) from err
    return done.stdout.partition("\n")[0].strip()
