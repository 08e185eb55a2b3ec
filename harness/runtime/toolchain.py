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
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RuntimeFolderError
from harness.vocabulary import Backend

DOING = "building the runner"
_PIP_HINT = f"{sys.executable} -m pip install 'vlm-device-harness[runtime]'"


@dataclass(frozen=True)
class Package:
    """An installed Python package, as a folder."""

    dir: Path
    version: str  # without a local part such as "+cpu"


@dataclass(frozen=True)
class Packages:
    """The installed packages a Runtime consists of."""

    executorch: Package
    qnn: Package | None  # None: for the CPU only
    qnn_version: str | None  # Qualcomm's, "2.49.40"

    @property
    def executorch_lib_dir(self) -> Path:
        return self.executorch.dir / "lib"

    @property
    def executorch_cmake_dir(self) -> Path:
        return self.executorch_lib_dir / "cmake" / "executorch"

    @property
    def qnn_lib_dirs(self) -> tuple[Path, ...]:
        """The QNN libraries, and the C++ runtime their wheel brings along; () without them."""
        if self.qnn is None:
            return ()
        return self.qnn.dir, self.qnn.dir.with_name(f"{self.qnn.dir.name}.libs")


@dataclass(frozen=True)
class Toolchain:
    """Everything a build needs."""

    packages: Packages
    compiler: Path
    cmake: Path
    ninja: Path
    json_include_dir: Path


def packages_installed(backend: Backend = "qnn") -> bool:
    """Whether the packages a Runtime is made of are there, so that one could be made."""
    names = ("executorch", "onnxruntime_qnn") if backend == "qnn" else ("executorch",)
    return all(importlib.util.find_spec(name) is not None for name in names)


def find_packages(backend: Backend = "qnn") -> Packages:
    """executorch and, for QNN, onnxruntime-qnn; RuntimeFolderError for the first missing."""
    executorch = _find_package("executorch", "executorch")
    if backend != "qnn":
        return Packages(executorch=executorch, qnn=None, qnn_version=None)
    qnn = _find_package("onnxruntime-qnn", "onnxruntime_qnn")
    return Packages(executorch=executorch, qnn=qnn, qnn_version=_read_qnn_version(qnn))


def find_toolchain(backend: Backend = "qnn") -> Toolchain:
    """All parts, or RuntimeFolderError for the first that is missing."""
    return Toolchain(
        packages=find_packages(backend),
        compiler=find_compiler(),
        cmake=_find_program("cmake"),
        ninja=_find_program("ninja"),
        json_include_dir=_find_package("nlohmann-json", "nlohmann_json").dir / "include",
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
