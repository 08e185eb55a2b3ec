from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.inspect_command import inspect


def test_inspect_a_kept_manifest_tells_sizes_layers_and_hashes(
    make_bundle: Callable[..., Path],
    edit_manifest: Callable[..., None],
    tmp_path: Path,
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    edit_manifest(
        bundle,
        lambda m: m["components"]["text_decoder"].update(layers=32, parameters=361821120),
    )
    kept = tmp_path / "kept" / "manifest.json"
    kept.parent.mkdir()
    kept.write_bytes((bundle / "manifest.json").read_bytes())
    told = "\n".join(inspect(kept))
    assert "32 layers, 361,821,120 parameters" in told
    assert "forward: 1 delegate call" in told
    assert told.count("100 bytes, sha256 ") == 3


def test_inspect_an_empty_folder_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tmp_path)]) != 0
    assert "no PTE is there" in capsys.readouterr().err
