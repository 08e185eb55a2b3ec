"""Runtime folders, made of small files; nothing is compiled here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RuntimeFolderError
from harness.runtime import (
    RUNTIME_FILE,
    Runtime,
    check_runtime,
    check_runtime_serves,
    find_runtime,
    load_runtime,
)
from harness.runtime import find as find_module
from harness.runtime.build import source_sha256
from harness.runtime.folder import describe_file, write_runtime
from harness.runtime.make import runtimes_dir
from tests.elf_files import ARM64, X86_64, make_elf, make_hexagon_elf, write_qnn_libraries

FolderMaker = Callable[..., Path]


LIBRARY = make_elf(X86_64, "libone.so", ["libc.so.6"])


@pytest.fixture
def make_folder(tmp_path: Path) -> FolderMaker:
    def make(folder: Path | None = None, htp_archs: tuple[int, ...] | None = None) -> Path:
        folder = tmp_path / "runtime" if folder is None else folder
        folder.mkdir(parents=True)
        (folder / "vlm_runner").write_bytes(make_elf(X86_64, None, ["libone.so", "libc.so.6"]))
        (folder / "libone.so").write_bytes(LIBRARY)
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
    assert runtime.files["libone.so"].size_bytes == len(LIBRARY)
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


@pytest.fixture
def phone_folder(tmp_path: Path) -> Path:
    """A made-up Runtime for a phone with HTP V79."""
    folder = tmp_path / "phone_runtime"
    folder.mkdir()
    runner = make_elf(ARM64, None, ["libc.so", "libqnn_executorch_backend.so"])
    (folder / "vlm_runner").write_bytes(runner)
    delegate = make_elf(ARM64, "libqnn_executorch_backend.so", ["liblog.so"])
    (folder / "libqnn_executorch_backend.so").write_bytes(delegate)
    write_qnn_libraries(folder, 79)
    return folder


def describe(folder: Path, **facts: Any) -> Runtime:
    """The Runtime that a folder's files make."""
    known = {"abi": "arm64-v8a", "htp_archs": (79,), "qnn_version": "2.37.0.250724"}
    runtime = Runtime(
        dir=folder,
        executorch_version="1.5.1",
        runner_source_sha256=source_sha256(),
        files={path.name: describe_file(path) for path in folder.iterdir()},
        executable="vlm_runner",
        **{**known, **facts},
    )
    write_runtime(runtime)
    return load_runtime(folder)


def test_check_runtime_of_a_phone_that_is_whole_is_silent(phone_folder: Path) -> None:
    check_runtime(describe(phone_folder), "arm64-v8a", 79)


FOLDER_BREAKS: dict[str, tuple[str, bytes | None, str]] = {
    "other_machine": ("libQnnSystem.so", LIBRARY, "libQnnSystem.so is for x86-64, not arm64"),
    "skel_for_the_host": (
        "libQnnHtpV79Skel.so",
        make_elf(ARM64),
        "libQnnHtpV79Skel.so is for arm64, not Hexagon",
    ),
    "stub_for_the_htp": (
        "libQnnHtpV79Stub.so",
        make_hexagon_elf(),
        "libQnnHtpV79Stub.so is for Hexagon, not arm64",
    ),
    "other_soname": (
        "libQnnHtp.so",
        make_elf(ARM64, "libQnnHtp.so.2"),
        "libQnnHtp.so calls itself libQnnHtp.so.2",
    ),
    "no_elf": ("libQnnHtp.so", b"404 not found", "libQnnHtp.so is no library"),
    "damaged": ("libQnnHtp.so", make_elf(ARM64, "x")[:130], "libQnnHtp.so is a damaged ELF file"),
    "needed": (
        "libQnnHtp.so",
        make_elf(ARM64, "libQnnHtp.so", ["libc++_shared.so"]),
        "libQnnHtp.so needs libc++_shared.so, which is not in the folder",
    ),
    "no_skel": ("libQnnHtpV79Skel.so", None, "it has no libQnnHtpV79Skel.so"),
    "no_stub": ("libQnnHtpV79Stub.so", None, "it has no libQnnHtpV79Stub.so"),
}


@pytest.mark.parametrize("name", FOLDER_BREAKS)
def test_check_runtime_of_a_phone_names_the_file_that_is_wrong(
    phone_folder: Path, name: str
) -> None:
    file, content, problem = FOLDER_BREAKS[name]
    if content is None:
        (phone_folder / file).unlink()
    else:
        (phone_folder / file).write_bytes(content)
    with pytest.raises(RuntimeFolderError) as caught:
        check_runtime(describe(phone_folder), "arm64-v8a", 79)
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("runtime_qnn", "bundle_qnn", "is_fit"),
    [
        ("2.37.0.250724", "2.37.0", True),
        ("2.37.0.250724", "2.36.9", True),
        ("2.37.0.250724", "2.49.40", False),
        ("2.9.0", "2.10.0", False),
        (None, "2.49.40", True),
        ("2.37.0", None, True),
    ],
)
def test_check_runtime_serves_wants_libraries_as_new_as_the_compilers(
    phone_folder: Path, runtime_qnn: str | None, bundle_qnn: str | None, is_fit: bool
) -> None:
    runtime = describe(phone_folder, qnn_version=runtime_qnn)
    if is_fit:
        check_runtime_serves(runtime, "qnn", bundle_qnn, "toy-kv-red")
        return
    with pytest.raises(RuntimeFolderError) as caught:
        check_runtime_serves(runtime, "qnn", bundle_qnn, "toy-kv-red")
    assert str(runtime_qnn) in caught.value.problem
    assert str(bundle_qnn) in caught.value.problem


def test_check_runtime_serves_of_a_board_takes_cpu_bundles_only(
    make_folder: FolderMaker,
) -> None:
    runtime = load_runtime(make_folder(htp_archs=()))
    check_runtime(runtime, "x86_64", 79)
    check_runtime_serves(runtime, "xnnpack", None, "toy-kv-red")
    with pytest.raises(RuntimeFolderError, match="it has no QNN delegate"):
        check_runtime_serves(runtime, "qnn", None, "toy-kv-red")


def test_find_runtime_without_packages_takes_the_newest_of_the_cache(
    make_folder: FolderMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find_module, "packages_installed", lambda backend: False)
    with pytest.raises(RuntimeFolderError, match="no runner"):
        find_runtime("x86_64", 79, simulated=True)
    for age, name in ((200, "old"), (100, "new")):
        folder = make_folder(runtimes_dir() / f"{source_sha256()[:16]}-{name}")
        moment = 2_000_000_000 - age
        os.utime(folder / RUNTIME_FILE, (moment, moment))
    make_folder(runtimes_dir() / "0123456789abcdef-othersources")
    assert find_runtime("x86_64", 79, simulated=True).dir.name.endswith("-new")
