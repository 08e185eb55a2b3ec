"""The compiler stack on this machine: what is installed, and how to run it. Needs no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CompileError
from harness.vocabulary import Backend

_PACKAGES = ("torch", "executorch", "transformers", "torchao")
_MODULES = ("torch", "executorch", "transformers")
OLDEST_GLIBC = (2, 35)
"""What the libraries in onnxruntime-qnn are linked against."""
INSTALL_HINT = "pip install -e '.[compile]'"


@dataclass(frozen=True)
class CompilerStack:
    """Versions by package name, and the folder of Qualcomm's x86-64 libraries.

    Compiling for the CPU needs none of Qualcomm's: the folder is None then.
    """

    versions: dict[str, str | None]
    qnn_lib_dir: Path | None
    qnn_sdk_root: str  # empty: the libraries come from a package

    def environment(self) -> dict[str, str]:
        """Environment of a compiler process; the user exports nothing."""
        ours = {
            # Set but empty tells executorch not to download an SDK of its own.
            "QNN_SDK_ROOT": self.qnn_sdk_root,
            "PYTHONPATH": os.pathsep.join([str(_project_root()), *_inherited_python_path()]),
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            # Components compile side by side and mostly in Python: more threads only collide.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        if self.qnn_lib_dir is not None:
            ours["LD_LIBRARY_PATH"] = str(self.qnn_lib_dir)
        return {**os.environ, **ours}


def find_compiler_stack(backend: Backend = "qnn") -> CompilerStack:
    """What this machine compiles with.

    Raises:
        CompileError: a package is missing, or for the backend "qnn" Qualcomm's libraries.
    """
    doing = "looking for the compiler stack"
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(map(int, version.split(".")[:2])) < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        raise CompileError(
            doing, f"this machine has glibc {version}", expected=f"{oldest} or later"
        )
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise CompileError(doing, f"not installed: {', '.join(missing)}", hint=INSTALL_HINT)
    versions = {name: installed_version(name) for name in _PACKAGES}
    versions["python"] = ".".join(map(str, sys.version_info[:2]))
    if backend != "qnn":
        return CompilerStack(versions, None, "")
    sdk_root = os.environ.get("QNN_SDK_ROOT", "")
    lib_dir = Path(sdk_root) / "lib" / "x86_64-linux-clang" if sdk_root else _packaged_qnn_dir()
    if lib_dir is None or not (lib_dir / "libQnnHtp.so").is_file():
        raise CompileError(
            doing,
            f"no libQnnHtp.so in {lib_dir or 'any installed package'}",
            expected="Qualcomm's QNN libraries for x86-64 Linux",
            hint="set QNN_SDK_ROOT to a QNN SDK" if sdk_root else INSTALL_HINT,
        )
    versions["onnxruntime-qnn"] = installed_version("onnxruntime-qnn")
    versions["qnn"] = qnn_version(lib_dir)
    return CompilerStack(versions, lib_dir, sdk_root)


def installed_version(package: str) -> str | None:
    """Version of an installed package, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def qnn_version(lib_dir: Path) -> str | None:
    """QNN's version as the package or SDK that holds the libraries states it, else None."""
    stated = lib_dir / "build_and_package_info.py"
    if stated.is_file():
        for line in stated.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "qnn_version":
                return value.strip().strip("'\"")
    sdk_manifest = lib_dir.parent.parent / "sdk.yaml"
    if sdk_manifest.is_file():
        for line in sdk_manifest.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "version":
                return value.strip()
    return None


def _packaged_qnn_dir() -> Path | None:
    found = importlib.util.find_spec("onnxruntime_qnn")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def _project_root() -> Path:
    return Path(__file__).resolve().parents[2]


def _inherited_python_path() -> list[str]:
    inherited = os.environ.get("PYTHONPATH", "")
    return [inherited] if inherited else []
