"""Runtimes for other machines than this one: aarch64 Linux boards, and phones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cache import cache_root, locked, publish_dir
from harness.errors import RuntimeFolderError
from harness.runtime.build import Build, Progress, common_definitions
from harness.runtime.toolchain import DOING, Toolchain

PHONE_ABI = "arm64-v8a"
BOARD_ABI = "aarch64"
_WHEEL_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_WHEEL_PARTS = ("executorch/lib/", "executorch/include/", "executorch/share/")
_DELEGATE = "libqnn_executorch_backend.so"


@dataclass(frozen=True)
class QnnSdk:
    """Qualcomm's SDK for phones, as QNN_SDK_ROOT names it. `version` as in "2.37.0.250724"."""

    dir: Path
    version: str

    def libraries(self, htp_arch: int) -> tuple[Path, ...]:
        """What a phone with HTP V`htp_arch` needs of it; RuntimeFolderError for a gap."""
        android = self.dir / "lib" / "aarch64-android"
        skel = self.dir / "lib" / f"hexagon-v{htp_arch}" / "unsigned"
        paths = (
            android / "libQnnHtp.so",
            android / "libQnnSystem.so",
            android / f"libQnnHtpV{htp_arch}Stub.so",
            skel / f"libQnnHtpV{htp_arch}Skel.so",
        )
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise RuntimeFolderError(
                f"collecting QNN libraries for HTP V{htp_arch}",
                f"{missing[0]} is missing",
                hint=f"install an SDK that knows HTP V{htp_arch} and set QNN_SDK_ROOT to it",
            )
        return paths


def find_qnn_sdk() -> QnnSdk:
    """The SDK of QNN_SDK_ROOT, or RuntimeFolderError."""
    doing = "looking for Qualcomm's QNN SDK"
    root = os.environ.get("QNN_SDK_ROOT", "")
    if not root:
        raise RuntimeFolderError(
            doing,
            "QNN_SDK_ROOT is not set",
            expected="the folder of a QNN SDK, which has lib/aarch64-android",
            hint="download it from Qualcomm and set QNN_SDK_ROOT, or give --runtime DIR",
        )
    path = Path(root)
    version = _sdk_version(path)
    if not (path / "lib" / "aarch64-android").is_dir() or version is None:
        raise RuntimeFolderError(
            doing,
            f"QNN_SDK_ROOT is {root}, which has no "
            + ("version in sdk.yaml or in its name" if version is None else "lib/aarch64-android"),
            hint="set QNN_SDK_ROOT to the folder that holds bin, include and lib",
        )
    return QnnSdk(path, version)


def _sdk_version(path: Path) -> str | None:
    """Out of the SDK's sdk.yaml, else its folder's name."""
    description = path / "sdk.yaml"
    text = description.read_text(encoding="utf-8") if description.is_file() else ""
    found = re.search(r"^\s*version:\s*['\"]?v?(\d+\.\d+\.\d+[.\d]*)", text, re.MULTILINE)
    found = found or re.search(r"(\d+\.\d+\.\d+[.\d]*)", path.resolve().name)
    return found[1] if found else None


def phone_build(toolchain: Toolchain) -> Build:
    """For phones; the preset's toolchain file checks NDK and ExecuTorch build."""
    definitions = common_definitions(toolchain, Path())
    del definitions["executorch_DIR"]  # of EXECUTORCH_ANDROID_BUILD, which the preset reads
    return Build("android-arm64", toolchain.cmake, definitions)


def require_phone_tools() -> None:
    """RuntimeFolderError unless what builds for phones is named by the environment."""
    for name, what in (
        ("ANDROID_NDK", "an Android NDK, r26 or later"),
        ("EXECUTORCH_ANDROID_BUILD", "the prefix of an ExecuTorch build for arm64-v8a"),
    ):
        if not Path(os.environ.get(name) or "/nonexistent").is_dir():
            raise RuntimeFolderError(
                f"{DOING} for phones",
                f"{name} names no folder",
                expected=what,
                hint="cpp_runner/README.md, 'For phones', tells the steps; or give --runtime DIR",
            )


def phone_libraries(sdk: QnnSdk, htp_arch: int) -> list[Path]:
    """Everything beside the runner: QNN's libraries, the delegate, the C++ library."""
    build = Path(os.environ["EXECUTORCH_ANDROID_BUILD"])
    ndk = Path(os.environ["ANDROID_NDK"])
    prebuilt = ndk / "toolchains/llvm/prebuilt/linux-x86_64/sysroot/usr/lib"
    wanted = [
        build / "lib" / _DELEGATE,
        prebuilt / "aarch64-linux-android" / "libc++_shared.so",
    ]
    for path in wanted:
        if not path.is_file():
            raise RuntimeFolderError(
                f"{DOING} for phones",
                f"{path} is missing",
                hint="cpp_runner/README.md, 'For phones', tells how ExecuTorch is built",
            )
    return [*wanted, *sdk.libraries(htp_arch)]


def board_build(toolchain: Toolchain, package_dir: Path) -> Build:
    """For aarch64 Linux, against executorch's package for it."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        raise RuntimeFolderError(
            f"{DOING} for {BOARD_ABI}",
            "no aarch64-linux-gnu-g++ on PATH",
            hint="sudo apt-get install g++-aarch64-linux-gnu",
        )
    cmake_dir = package_dir / "lib" / "cmake" / "executorch"
    return Build("linux-aarch64", toolchain.cmake, common_definitions(toolchain, cmake_dir))


def board_package(version: str, progress: Progress) -> Path:
    """executorch's aarch64 package of a version, unpacked in the cache; fetched if missing.

    It has no QNN delegate: what is built against it runs CPU PTEs.
    """
    folder = cache_root() / "wheels" / f"executorch-{version}-{BOARD_ABI}"
    with locked(folder.with_suffix(".lock"), f"fetching executorch for {BOARD_ABI}", progress):
        if not folder.is_dir():
            with publish_dir(folder) as temporary:
                progress(f"{DOING}: fetching executorch {version} for {BOARD_ABI}")
                _unpack(_download(version, temporary), temporary)
    return folder / "executorch"


def _download(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder)]
    command += [f"--platform={name}" for name in _WHEEL_PLATFORMS]
    command.append(f"executorch=={version}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeFolderError(
            f"fetching executorch {version} for {BOARD_ABI}",
            f"pip: {last}",
            hint="connect this machine to a package index, or give --runtime DIR",
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members: Sequence[str] = [n for n in archive.namelist() if n.startswith(_WHEEL_PARTS)]
        archive.extractall(folder, members)
    wheel.unlink()
