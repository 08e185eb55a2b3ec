"""The Runtime that fits a device, without the user naming one."""

from __future__ import annotations

from pathlib import Path

from harness.errors import RuntimeFolderError
from harness.runtime.build import Progress, source_sha256
from harness.runtime.cross import BOARD_ABI, PHONE_ABI
from harness.runtime.folder import RUNTIME_FILE, Runtime, load_runtime
from harness.runtime.make import SIMULATOR_ABI, cached_runtime, check_can_make, runtimes_dir
from harness.runtime.toolchain import packages_installed
from harness.vocabulary import Backend


def _silent(_: str) -> None:
    """Progress for callers that show none."""


def find_runtime(
    abi: str,
    htp_arch: int,
    simulated: bool,
    progress: Progress = _silent,
    backend: Backend = "qnn",
) -> Runtime:
    """A Runtime for a device, from the cache or made for it.

    A phone's is put together from QNN_SDK_ROOT, ANDROID_NDK and EXECUTORCH_ANDROID_BUILD; a
    Linux board's from executorch's aarch64 package, for CPU bundles only.

    Where executorch and onnxruntime-qnn are installed, the Runtime of exactly these versions
    and of the runner's present sources is given, and made on first use. Elsewhere one that
    an earlier run made from the same sources.

    Args:
        abi: the device's first ABI ("x86_64", "arm64-v8a").
        htp_arch: its HTP arch (79 for V79).
        simulated: whether its HTP is Qualcomm's x86 simulator.
        backend: for "xnnpack" one of "x86_64" needs no HTP and holds no QNN file.

    Raises:
        RuntimeFolderError: nothing serves this ABI and HTP arch; or the build failed.
    """
    if abi in (PHONE_ABI, BOARD_ABI):
        return _find_cross(abi, htp_arch, progress)
    if abi != SIMULATOR_ABI or not (simulated or backend == "xnnpack"):
        raise _nothing_for(abi, htp_arch)
    if packages_installed(backend):
        check_can_make(abi)
        return cached_runtime(progress, abi, None, backend)
    folder = _newest_in_cache(backend)
    if folder is None:
        raise _nothing_for(abi, htp_arch)
    return load_runtime(folder)


def _find_cross(abi: str, htp_arch: int, progress: Progress) -> Runtime:
    try:
        check_can_make(abi, htp_arch)
    except RuntimeFolderError as err:
        raise RuntimeFolderError(
            f"finding a Runtime for ABI {abi} and HTP V{htp_arch}",
            f"none was given and none can be made here: {err.problem}",
            expected=err.expected,
            hint=f"--runtime DIR with a Runtime folder for {abi}, or: {err.hint}",
        ) from err
    return cached_runtime(progress, abi, htp_arch)


def _newest_in_cache(backend: Backend) -> Path | None:
    """The last Runtime made from the present sources, by any versions."""
    pattern = f"{source_sha256()[:16]}-*/{RUNTIME_FILE}"
    made = sorted(runtimes_dir().glob(pattern), key=lambda path: path.stat().st_mtime)
    folders = [path.parent for path in made]
    if backend == "qnn":
        folders = [folder for folder in folders if load_runtime(folder).htp_archs != ()]
    return folders[-1] if folders else None


def _nothing_for(abi: str, htp_arch: int) -> RuntimeFolderError:
    hint = f"--runtime DIR with a Runtime folder for {abi} and HTP V{htp_arch}"
    if abi == SIMULATOR_ABI:
        hint += ", or pip install 'vlm-device-harness[runtime]' to build one"
    return RuntimeFolderError(
        f"finding a Runtime for ABI {abi} and HTP V{htp_arch}",
        "there is no runner with QNN libraries for this ABI and HTP arch",
        expected=f"a Runtime folder for {abi} whose libraries serve HTP V{htp_arch}",
        hint=hint,
    )
