"""What Runtimes are made from: SDKs, compilers, sources, ELF files. Nothing is compiled here."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import InputError, RuntimeFolderError
from harness.runtime import build as build_module
from harness.runtime import (
    build_runtime,
    find_runtime,
)
from harness.runtime.build import source_sha256
from harness.runtime.cross import find_qnn_sdk, phone_libraries
from harness.runtime.elf import read_elf
from harness.runtime.toolchain import find_compiler
from tests.elf_files import write_qnn_libraries


def silent(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up QNN SDK that knows HTP V79, beside an NDK and an ExecuTorch build."""
    root = tmp_path / "qairt" / "2.37.0.250724"
    for folder in ("lib/aarch64-android", "lib/hexagon-v79/unsigned"):
        (root / folder).mkdir(parents=True)
    write_qnn_libraries(root / "lib/aarch64-android", 79)
    skel = "libQnnHtpV79Skel.so"
    (root / "lib/aarch64-android" / skel).rename(root / "lib/hexagon-v79/unsigned" / skel)
    monkeypatch.setenv("QNN_SDK_ROOT", str(root))
    for name in ("ANDROID_NDK", "EXECUTORCH_ANDROID_BUILD"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return root


def test_qnn_sdk_gives_the_libraries_of_an_arch_and_its_version(sdk: Path) -> None:
    found = find_qnn_sdk()
    assert found.version == "2.37.0.250724"
    assert [path.name for path in found.libraries(79)] == [
        "libQnnHtp.so",
        "libQnnSystem.so",
        "libQnnHtpV79Stub.so",
        "libQnnHtpV79Skel.so",
    ]
    (sdk / "sdk.yaml").write_text("product: qairt\nversion: 2.38.1\n")
    assert find_qnn_sdk().version == "2.38.1"


def test_qnn_sdk_that_does_not_know_the_arch_names_the_file(sdk: Path) -> None:
    with pytest.raises(RuntimeFolderError, match=r"libQnnHtpV81Stub\.so is missing"):
        find_qnn_sdk().libraries(81)


def test_qnn_sdk_root_that_is_none_is_refused(sdk: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QNN_SDK_ROOT", str(tmp_path))
        with pytest.raises(RuntimeFolderError, match="no version in sdk"):
            find_qnn_sdk()


@pytest.mark.parametrize("name", ["ANDROID_NDK", "EXECUTORCH_ANDROID_BUILD", "QNN_SDK_ROOT"])
def test_find_runtime_for_a_phone_names_the_missing_tool(
    sdk: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(RuntimeFolderError) as caught:
        find_runtime("arm64-v8a", 79, simulated=False)
    for part in (name, "arm64-v8a", "V79", "--runtime DIR"):
        assert part in str(caught.value)


def test_phone_libraries_without_a_delegate_name_it(sdk: Path) -> None:
    with pytest.raises(RuntimeFolderError, match=r"libqnn_executorch_backend\.so is missing"):
        phone_libraries(find_qnn_sdk(), 79)


def test_build_runtime_for_another_abi_says_what_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFolderError, match="riscv64") as caught:
        build_runtime("riscv64", tmp_path / "out", silent)
    for part in ("x86_64", "aarch64", "arm64-v8a", "--runtime DIR"):
        assert part in str(caught.value)


def test_build_runtime_for_a_phone_wants_its_arch(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFolderError, match="one HTP arch"):
        build_runtime("arm64-v8a", tmp_path / "out", silent)


def test_build_runtime_into_a_full_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(InputError, match="not an empty folder"):
        build_runtime("x86_64", tmp_path, silent)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "keep"


def test_find_compiler_without_any_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeFolderError, match=r"no C\+\+ compiler") as caught:
        find_compiler()
    assert "apt-get install g++" in str(caught.value)


def test_find_compiler_with_bad_cxx_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeFolderError, match="CXX is no-such-compiler"):
        find_compiler()


def test_source_sha256_follows_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "SOURCE_DIR", tmp_path)
    with pytest.raises(RuntimeFolderError, match="sources"):
        source_sha256()
    (tmp_path / "src").mkdir()
    hashes = set()
    for name, content in (("a.cpp", "1"), ("a.cpp", "2"), ("b.cpp", "2")):
        for old in (tmp_path / "src").iterdir():
            old.unlink()
        (tmp_path / "src" / name).write_text(content, encoding="utf-8")
        hashes.add(source_sha256())
    assert len(hashes) == 3


def test_read_elf_of_this_python_gives_its_machine() -> None:
    facts = read_elf(Path(sys.executable).resolve())
    header = Path(sys.executable).resolve().read_bytes()[:20]
    assert facts.machine == struct.unpack_from("<H", header, 18)[0]
    assert any(name.startswith("libc.so") for name in facts.needed)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01"])
def test_read_elf_of_something_else_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="ELF"):
        read_elf(path)


def test_runtime_package_imports_no_framework() -> None:
    code = (
        "import sys, harness.runtime as r\n"
        "try: r.find_runtime('arm64-v8a', 79, False)\n"
        "except Exception: pass\n"
        "heavy = {'torch', 'executorch', 'onnxruntime_qnn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
