"""Making Runtime folders for this machine's own ABI, out of installed packages."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.cache import cache_root, locked, publish_dir, sweep_leftovers
from harness.errors import InputError, RuntimeFolderError
from harness.runtime.build import (
    EXECUTABLE,
    Progress,
    compile_runner,
    source_sha256,
)
from harness.runtime.elf import read_elf
from harness.runtime.folder import Runtime, describe_file, load_runtime, write_runtime
from harness.runtime.toolchain import DOING, Toolchain, find_packages, find_toolchain

SIMULATOR_ABI = "x86_64"
# Opened by name while a QNN PTE is loaded, so no NEEDED entry names them.
_QNN_LIBRARIES = ("libQnnHtp.so", "libQnnSystem.so")
# Needed by libQnnSystem.so; part of GCC, and not on every machine that has no compiler.
_GCC_LIBRARIES = ("libatomic.so.1",)


def build_runtime(abi: str, out: Path, progress: Progress) -> Runtime:
    """Make a Runtime folder at `out`.

    Args:
        abi: only "x86_64" (runner and HTP simulator of this machine) can be made.
        out: must not exist yet, or be an empty folder.
        progress: told each stage in a sentence.

    Raises:
        InputError: `out` holds something.
        RuntimeFolderError: another ABI, a missing package or tool, a failed build.
    """
    check_can_make(abi)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"making a Runtime folder at {out}",
            "it exists and is not an empty folder",
            hint="name a folder that does not exist yet",
        )
    made = cached_runtime(progress)
    progress(f"copying the Runtime to {out}")
    with publish_dir(out) as temporary:
        for path in sorted(made.dir.iterdir()):
            shutil.copy2(path, temporary / path.name)
    return load_runtime(out)


def check_can_make(abi: str) -> None:
    """RuntimeFolderError if a Runtime for `abi` cannot be made on this machine."""
    host = f"{platform.system()} {platform.machine()}"
    if abi == SIMULATOR_ABI and host == f"Linux {SIMULATOR_ABI}":
        return
    raise RuntimeFolderError(
        f"making a Runtime for ABI {abi}",
        f"this machine ({host}) cannot build one",
        expected=f"ABI {SIMULATOR_ABI} on Linux {SIMULATOR_ABI}",
        hint=f"--runtime DIR with a Runtime folder for {abi}",
    )


def runtimes_dir() -> Path:
    """Where the cache keeps Runtime folders of the simulator's ABI."""
    return cache_root() / "runtimes" / SIMULATOR_ABI


def cached_runtime(progress: Progress) -> Runtime:
    """The cache's Runtime for the sources and packages of this machine, made if missing.

    Two processes that want it at once make it once.
    """
    packages = find_packages()
    sources = source_sha256()
    # Not the compiler: a machine that has none may use what was built before.
    versions = f"{packages.executorch.version}\n{packages.qnn.version}"
    key = hashlib.sha256(versions.encode()).hexdigest()
    folder = runtimes_dir() / f"{sources[:16]}-{key[:16]}"
    if folder.is_dir():
        return load_runtime(folder)
    lock = folder.parent / f"{folder.name}.lock"
    with locked(lock, DOING, progress):
        if not folder.is_dir():
            sweep_leftovers(folder.parent)
            _make(find_toolchain(), sources, folder, progress)
    return load_runtime(folder)


def _make(toolchain: Toolchain, sources: str, folder: Path, progress: Progress) -> None:
    log = cache_root() / "logs" / f"runner-{folder.name}.log"
    with publish_dir(folder) as temporary:
        runner = compile_runner(toolchain, temporary, log, progress)
        progress(f"{DOING}: collecting libraries")
        for library in _libraries_of(runner, toolchain):
            shutil.copy2(library, temporary / library.name)
        names = sorted(path.name for path in temporary.iterdir())
        write_runtime(
            Runtime(
                dir=temporary,
                abi=SIMULATOR_ABI,
                htp_archs=None,
                qnn_version=toolchain.packages.qnn_version,
                executorch_version=toolchain.packages.executorch.version,
                runner_source_sha256=sources,
                files={name: describe_file(temporary / name) for name in names},
                executable=EXECUTABLE,
            )
        )


def _libraries_of(runner: Path, toolchain: Toolchain) -> list[Path]:
    """Every library the runner loads that the system does not bring."""
    packages = toolchain.packages
    search = (packages.executorch_lib_dir, *packages.qnn_lib_dirs)
    missing = [name for name in _QNN_LIBRARIES if _locate(name, search) is None]
    if missing:
        raise RuntimeFolderError(
            DOING,
            f"onnxruntime-qnn {packages.qnn.version} has no {missing[0]} in {packages.qnn.dir}",
            hint="pip install onnxruntime-qnn==2.5.0",
        )
    found: dict[str, Path] = {}
    pending = [*read_elf(runner).needed, *_QNN_LIBRARIES]
    while pending:
        name = pending.pop()
        path = None if name in found else _locate(name, search)
        if path is not None:
            found[name] = path
            pending += read_elf(path).needed
    return [*found.values(), *_gcc_libraries(toolchain)]


def _locate(name: str, folders: Iterable[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _gcc_libraries(toolchain: Toolchain) -> list[Path]:
    """The compiler's own libraries, as far as it says where they are."""
    paths = []
    for name in _GCC_LIBRARIES:
        done = subprocess.run(
            [toolchain.compiler, f"-print-file-name={name}"],
            capture_output=True,
            text=True,
            check=False,
        )
        path = Path(done.stdout.strip())
        # An unknown name is printed back as it was given.
        if path.is_absolute() and path.is_file():
            paths.append(path)
    return paths
