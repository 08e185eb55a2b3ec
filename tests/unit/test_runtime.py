"""Runtime folders, made of small files; nothing is compiled here."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError, RuntimeFolderError
from harness.runtime import (
    RUNTIME_FILE,
    Runtime,
    build_runtime,
    check_runtime,
    find_runtime,
    load_runtime,
)
from harness.runtime import build as build_module
from harness.runtime import find as find_module
from harness.runtime.build import source_sha256
from harness.runtime.elf import read_elf
from harness.runtime.folder import describe_file, write_runtime
from harness.runtime.make import runtimes_dir
from harness.runtime.toolchain import find_compiler

FolderMaker = Callable[..., Path]


def silent(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def make_folder(tmp_path: Path) -> FolderMaker:
    def make(folder: Path | None = None, htp_archs: tuple[int, ...] | None = None) -> Path:
        folder = tmp_path / "runtime" if folder is None else folder
        folder.mkdir(parents=True)
        for name in ("vlm_runner", "libone.so"):
            (folder / name).write_bytes(name.encode())
        write_runtime(
            Runtime(
                dir=folder,
                abi="x86_64",
                htp_archs=htp_archs,
                qnn_version="2.49.40",
                executorch_version="1.5.1",
                runner_source_sha256=source_sha256(),
                files={path.name: describe_file(path) for path in folder.iterdir()},
                executable="vlm_runner",
            )
        )
        return folder

    return make


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / RUNTIME_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_load_runtime_of_written_folder_gives_its_description(make_folder: FolderMaker) -> None:
    folder = make_folder(htp_archs=(75, 79))
    runtime = load_runtime(folder)
    assert runtime.dir == folder
    assert runtime.htp_archs == (75, 79)
    assert set(runtime.files) == {"vlm_runner", "libone.so"}
    assert runtime.files["libone.so"].size_bytes == len("libone.so")
    assert runtime.path_of(runtime.executable) == folder / "vlm_runner"


def test_load_runtime_without_folder_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFolderError, match=r"cannot read runtime\.json") as caught:
        load_runtime(tmp_path / "nowhere")
    assert "python -m harness runtime" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.update(schema_version=2), "schema_version"),
        (lambda d: d.pop("abi"), "abi"),
        (lambda d: d.update(colour="red"), "colour"),
        (lambda d: d.update(executable="other"), "executable"),
        (lambda d: d.update(htp_archs="79"), "htp_archs"),
        (lambda d: d.update(htp_archs=[True]), "htp_archs"),
        (lambda d: d.update(files={}), "files"),
        (lambda d: d["files"].update({"../evil": d["files"]["vlm_runner"]}), "plain name"),
        (lambda d: d["files"]["vlm_runner"].update(sha256="x"), "sha256"),
        (lambda d: d["files"]["vlm_runner"].update(size_bytes=-1), "size_bytes"),
    ],
)
def test_load_runtime_with_bad_description_names_the_key(
    make_folder: FolderMaker, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    folder = make_folder()
    edit(folder, change)
    with pytest.raises(RuntimeFolderError, match=expected):
        load_runtime(folder)


def test_load_runtime_with_description_that_is_no_json_is_refused(
    make_folder: FolderMaker,
) -> None:
    folder = make_folder()
    (folder / RUNTIME_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(RuntimeFolderError, match=RUNTIME_FILE):
        load_runtime(folder)


def test_load_runtime_with_missing_file_names_it(make_folder: FolderMaker) -> None:
    folder = make_folder()
    (folder / "libone.so").unlink()
    with pytest.raises(RuntimeFolderError, match=r"libone\.so is missing"):
        load_runtime(folder)


def test_load_runtime_with_short_file_gives_both_sizes(make_folder: FolderMaker) -> None:
    folder = make_folder()
    (folder / "libone.so").write_bytes(b"lib")
    with pytest.raises(RuntimeFolderError, match=r"libone\.so has 3 bytes"):
        load_runtime(folder)


@pytest.mark.parametrize(
    ("archs", "abi", "arch", "problem"),
    [
        (None, "arm64-v8a", 79, "for ABI x86_64"),
        ((75,), "x86_64", 79, "serve HTP V75, the device has V79"),
    ],
)
def test_check_runtime_that_does_not_fit_says_so(
    make_folder: FolderMaker, archs: tuple[int, ...] | None, abi: str, arch: int, problem: str
) -> None:
    runtime = load_runtime(make_folder(htp_archs=archs))
    with pytest.raises(RuntimeFolderError, match=problem):
        check_runtime(runtime, abi, arch)


@pytest.mark.parametrize("archs", [None, (75, 79)])
def test_check_runtime_that_fits_is_silent(
    make_folder: FolderMaker, archs: tuple[int, ...] | None
) -> None:
    check_runtime(load_runtime(make_folder(htp_archs=archs)), "x86_64", 79)


def test_find_runtime_for_a_phone_names_abi_arch_and_option() -> None:
    with pytest.raises(RuntimeFolderError) as caught:
        find_runtime("arm64-v8a", 79, simulated=False)
    for part in ("arm64-v8a", "V79", "--runtime DIR"):
        assert part in str(caught.value)


def test_find_runtime_without_packages_takes_the_newest_of_the_cache(
    make_folder: FolderMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find_module, "packages_installed", lambda: False)
    with pytest.raises(RuntimeFolderError, match="no runner"):
        find_runtime("x86_64", 79, simulated=True)
    for age, name in ((200, "old"), (100, "new")):
        folder = make_folder(runtimes_dir() / f"{source_sha256()[:16]}-{name}")
        moment = 2_000_000_000 - age
        os.utime(folder / RUNTIME_FILE, (moment, moment))
    make_folder(runtimes_dir() / "0123456789abcdef-othersources")
    assert find_runtime("x86_64", 79, simulated=True).dir.name.endswith("-new")


def test_build_runtime_for_another_abi_says_what_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFolderError, match="arm64-v8a") as caught:
        build_runtime("arm64-v8a", tmp_path / "out", silent)
    assert "--runtime DIR" in str(caught.value)


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
