"""Finding the compiler stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.compile import stack
from harness.compile.stack import find_compiler_stack, qnn_version
from harness.errors import CompileError


def test_stack_names_versions_and_sets_the_childs_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    found = find_compiler_stack()
    assert found.versions["onnxruntime-qnn"] == "2.5.0"
    assert found.versions["qnn"] == "2.49.40"
    environment = found.environment()
    assert environment["QNN_SDK_ROOT"] == ""
    assert (Path(environment["LD_LIBRARY_PATH"]) / "libQnnHtp.so").is_file()


def test_sdk_without_libraries_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    with pytest.raises(CompileError, match=r"no libQnnHtp\.so") as caught:
        find_compiler_stack()
    assert "QNN_SDK_ROOT" in str(caught.value)


def test_sdk_states_its_version(tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text("name: qairt\nversion: 2.37.0.250724\n")
    assert qnn_version(tmp_path / "lib" / "x86_64-linux-clang") == "2.37.0.250724"


def test_missing_package_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stack, "_MODULES", ("torch", "no_such_module_anywhere"))
    with pytest.raises(CompileError, match="no_such_module_anywhere") as caught:
        find_compiler_stack()
    assert "pip install" in str(caught.value)


def test_old_glibc_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(CompileError, match=r"glibc 2\.31"):
        find_compiler_stack()
