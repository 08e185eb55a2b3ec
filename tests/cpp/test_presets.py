"""The presets of CMakePresets.json; that for phones says which tool is missing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runtime.build import SOURCE_DIR
from harness.runtime.toolchain import find_toolchain

PRESETS = {"host", "asan", "linux-aarch64", "android-arm64"}
TOOLCHAIN_FILE = "build/cmake/android.toolchain.cmake"
CONFIG_FILE = "lib/cmake/ExecuTorch/executorch-config.cmake"


@pytest.fixture
def phone_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up NDK r26, whose toolchain file says that it was reached, and ExecuTorch build."""
    for file, content in {
        f"ndk/{TOOLCHAIN_FILE}": 'message(FATAL_ERROR "the NDK took over: ${ANDROID_ABI}")\n',
        "ndk/source.properties": "Pkg.Desc = Android NDK\nPkg.Revision = 26.3.11579264\n",
        f"executorch/{CONFIG_FILE}": "",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content, encoding="utf-8")
    monkeypatch.setenv("ANDROID_NDK", str(tmp_path / "ndk"))
    monkeypatch.setenv("EXECUTORCH_ANDROID_BUILD", str(tmp_path / "executorch"))
    return tmp_path


def configure_for_phones(build_dir: Path) -> str:
    """What CMake says when it fails, with its line breaks taken out."""
    toolchain = find_toolchain()
    argv = [
        *(toolchain.cmake, "--preset", "android-arm64", "-S", SOURCE_DIR, "-B", build_dir),
        f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode != 0, done.stdout
    return " ".join(done.stderr.split())


def test_presets_are_those_of_the_readme() -> None:
    presets = json.loads((SOURCE_DIR / "CMakePresets.json").read_bytes())["configurePresets"]
    assert {preset["name"] for preset in presets if not preset.get("hidden")} == PRESETS
    readme = (SOURCE_DIR / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in readme for name in PRESETS)


def test_phone_preset_with_all_tools_hands_over_to_the_ndk(phone_tools: Path) -> None:
    said = configure_for_phones(phone_tools / "build")
    assert "the NDK took over: arm64-v8a" in said


@pytest.mark.parametrize("name", ["ANDROID_NDK", "EXECUTORCH_ANDROID_BUILD"])
def test_phone_preset_without_a_tool_names_its_variable(
    phone_tools: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    said = configure_for_phones(phone_tools / "build")
    assert f"{name} is not set; cpp_runner/README.md, 'For phones'" in said
    assert "took over" not in said


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda root: (root / "ndk" / TOOLCHAIN_FILE).unlink(), "is no NDK"),
        (lambda root: (root / "ndk/source.properties").unlink(), "is no NDK"),
        (
            lambda root: (root / "ndk/source.properties").write_text("Pkg.Revision = 25.2.9\n"),
            "is r25; r26 or later is needed",
        ),
        (
            lambda root: (root / "executorch" / CONFIG_FILE).unlink(),
            "EXECUTORCH_ANDROID_BUILD: no executorch-config.cmake",
        ),
    ],
    ids=["no_toolchain_file", "no_revision", "old_ndk", "no_executorch"],
)
def test_phone_preset_with_a_wrong_tool_says_what_is_wrong(
    phone_tools: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(phone_tools)
    said = configure_for_phones(phone_tools / "build")
    assert problem in said
    assert "took over" not in said
