"""Making Runtime folders out of the runner's sources and installed packages or SDKs."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cache import cache_root, locked, publish_dir, sweep_leftovers
from harness.errors import InputError, RuntimeFolderError
from harness.runtime.build import (
    EXECUTABLE,
    Build,
    Progress,
    compile_runner,
    host_build,
    source_sha256,
)
from harness.runtime.cross import (
    BOARD_ABI,
    PHONE_ABI,
    board_build,
    board_package,
    find_qnn_sdk,
    phone_build,
    phone_libraries,
    require_phone_tools,
)
from harness.runtime.elf import read_elf
from harness.runtime.folder import RUNTIME_FILE, Runtime, describe_file, load_runtime, write_runtime
from harness.runtime.toolchain import DOING, Toolchain, find_packages, find_toolchain
from harness.vocabulary import Backend

SIMULATOR_ABI = "x86_64"
ABIS = (SIMULATOR_ABI, BOARD_ABI, PHONE_ABI)
# Opened by name while a QNN PTE is loaded, so no NEEDED entry names them.
_QNN_LIBRARIES = ("libexecutorch_backend_qnn.so", "libQnnHtp.so", "libQnnSystem.so")
# Needed by libQnnSystem.so; part of GCC, and not on every machine that has no compiler.
_GCC_LIBRARIES = ("libatomic.so.1",)


@dataclass(frozen=True)
class _Parts:
    """What a Runtime is put together from. `extra` are libraries that no NEEDED entry names."""

    build: Build
    search: tuple[Path, ...]
    extra: tuple[Path, ...]
    htp_archs: tuple[int, ...] | None
    qnn_version: str | None


def build_runtime(
    abi: str,
    out: Path,
    progress: Progress,
    htp_arch: int | None = None,
    backend: Backend = "qnn",
) -> Runtime:
    """Make a Runtime folder at `out`.

    Args:
        abi: "x86_64" (this machine and the HTP simulator), "aarch64" (Linux boards, CPU PTEs
            only) or "arm64-v8a" (phones; needs NDK, an ExecuTorch build and the QNN SDK).
        out: must not exist yet, or be an empty folder.
        progress: told each stage in a sentence.
        htp_arch: of the phone, for "arm64-v8a".
        backend: "xnnpack" makes one of "x86_64" that holds no QNN file.

    Raises:
        InputError: `out` holds something.
        RuntimeFolderError: another ABI, a missing package or tool, a failed build.
    """
    check_can_make(abi, htp_arch)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"making a Runtime folder at {out}",
            "it exists and is not an empty folder",
            hint="name a folder that does not exist yet",
        )
    made = cached_runtime(progress, abi, htp_arch, backend)
    progress(f"copying the Runtime to {out}")
    with publish_dir(out) as temporary:
        for path in sorted(made.dir.iterdir()):
            shutil.copy2(path, temporary / path.name)
    return load_runtime(out)


def check_can_make(abi: str, htp_arch: int | None = None) -> None:
    """RuntimeFolderError if a Runtime for `abi` cannot be made on this machine."""
    host = f"{platform.system()} {platform.machine()}"
    doing = f"making a Runtime for ABI {abi}"
    if abi not in ABIS or host != f"Linux {SIMULATOR_ABI}":
        raise RuntimeFolderError(
            doing,
            f"this machine ({host}) cannot build one",
            expected=f"ABI {', '.join(ABIS)} on Linux {SIMULATOR_ABI}",
            hint=f"--runtime DIR with a Runtime folder for {abi}",
        )
    if abi == PHONE_ABI:
        if htp_arch is None:
            raise RuntimeFolderError(
                doing, "it is for one HTP arch, which was not said", hint="--htp-arch 79"
            )
        require_phone_tools()
        find_qnn_sdk().libraries(htp_arch)


def runtimes_dir(abi: str = SIMULATOR_ABI) -> Path:
    """Where the cache keeps Runtime folders of an ABI."""
    return cache_root() / "runtimes" / abi


def cached_runtime(
    progress: Progress,
    abi: str = SIMULATOR_ABI,
    htp_arch: int | None = None,
    backend: Backend = "qnn",
) -> Runtime:
    """The cache's Runtime for the sources and packages of this machine, made if missing.

    That of "qnn" serves PTEs for the CPU too. Two processes that want it at once make it once.
    """
    sources = source_sha256()
    # Not the compiler: a machine that has none may use what was built before.
    key = hashlib.sha256(_versions(abi, htp_arch, backend).encode()).hexdigest()
    folder = runtimes_dir(abi) / f"{sources[:16]}-{key[:16]}"
    if folder.is_dir():
        return load_runtime(folder)
    lock = folder.parent / f"{folder.name}.lock"
    with locked(lock, DOING, progress):
        if not folder.is_dir():
            sweep_leftovers(folder.parent)
            toolchain = find_toolchain(backend)
            parts = _parts(toolchain, abi, htp_arch, progress)
            assemble(folder, abi, parts, toolchain.packages.executorch.version, progress)
    return load_runtime(folder)


def _versions(abi: str, htp_arch: int | None, backend: Backend) -> str:
    """Everything but the sources that a Runtime of the ABI is made of."""
    packages = find_packages(backend)
    qnn = "none" if packages.qnn is None else packages.qnn.version
    versions = f"{packages.executorch.version}\n{qnn}"
    if abi != PHONE_ABI:
        return versions
    sdk = find_qnn_sdk()
    named = [os.environ.get(name, "") for name in ("ANDROID_NDK", "EXECUTORCH_ANDROID_BUILD")]
    return "\n".join([versions, *named, str(sdk.dir), sdk.version, f"V{htp_arch}"])


def _parts(toolchain: Toolchain, abi: str, htp_arch: int | None, progress: Progress) -> _Parts:
    packages = toolchain.packages
    if abi == BOARD_ABI:
        package = board_package(packages.executorch.version, progress)
        build = board_build(toolchain, package)
        return _Parts(build, (package / "lib",), (), (), None)
    if abi == PHONE_ABI and htp_arch is not None:
        sdk = find_qnn_sdk()
        libraries = tuple(phone_libraries(sdk, htp_arch))
        return _Parts(phone_build(toolchain), (), libraries, (htp_arch,), sdk.version)
    search = (packages.executorch_lib_dir, *packages.qnn_lib_dirs)
    if packages.qnn is None:
        return _Parts(host_build(toolchain), search, (), (), None)
    opened = tuple(_require(name, search, packages.qnn.version) for name in _QNN_LIBRARIES)
    extra = (*opened, *_gcc_libraries(toolchain))
    return _Parts(host_build(toolchain), search, extra, None, packages.qnn_version)


def assemble(
    folder: Path, abi: str, parts: _Parts, executorch_version: str, progress: Progress
) -> None:
    """Compile the runner and put the Runtime together at `folder`."""
    log = cache_root() / "logs" / f"runner-{folder.name}.log"
    with publish_dir(folder) as temporary:
        runner = _copy_runner(abi, executorch_version, temporary)
        runner = runner or compile_runner(parts.build, temporary, log, progress)
        progress(f"{DOING}: collecting libraries")
        for library in _libraries_of(runner, parts):
            shutil.copy2(library, temporary / library.name)
        names = sorted(path.name for path in temporary.iterdir())
        write_runtime(
            Runtime(
                dir=temporary,
                abi=abi,
                htp_archs=parts.htp_archs,
                qnn_version=parts.qnn_version,
                executorch_version=executorch_version,
                runner_source_sha256=source_sha256(),
                files={name: describe_file(temporary / name) for name in names},
                executable=EXECUTABLE,
            )
        )


def _copy_runner(abi: str, executorch_version: str, out_dir: Path) -> Path | None:
    """The program of another Runtime of the simulator's ABI and the same sources, if any.

    It opens the QNN delegate when a PTE asks for it, so it is the same with and without QNN.
    """
    pattern = f"{source_sha256()[:16]}-*/{RUNTIME_FILE}"
    for path in sorted(runtimes_dir().glob(pattern)) if abi == SIMULATOR_ABI else ():
        with suppress(RuntimeFolderError):
            other = load_runtime(path.parent)
            if other.executorch_version == executorch_version:
                return Path(shutil.copy2(other.path_of(EXECUTABLE), out_dir / EXECUTABLE))
    return None


def _libraries_of(runner: Path, parts: _Parts) -> Iterable[Path]:
    """Every library the runner loads that the system does not bring."""
    found = {path.name: path for path in parts.extra}
    pending = list(read_elf(runner).needed)
    for path in parts.extra:
        pending += read_elf(path).needed if "Skel" not in path.name else ()
    while pending:
        name = pending.pop()
        located = None if name in found else _locate(name, parts.search)
        if located is not None:
            found[name] = located
            pending += read_elf(located).needed
    return found.values()


def _require(name: str, folders: tuple[Path, ...], version: str) -> Path:
    path = _locate(name, folders)
    if path is None:
        raise RuntimeFolderError(
            DOING,
            f"onnxruntime-qnn {version} has no {name}",
            hint="pip install onnxruntime-qnn==2.5.0",
        )
    return path


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
