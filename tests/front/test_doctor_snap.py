"""What doctor says of an adb that is confined."""

from __future__ import annotations

from pathlib import Path

from .sessions import Bench


def test_doctor_recognises_an_adb_from_a_snap(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "snap/bin/adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    said = bench.command("doctor", *bench.adb_args, environ={"ADBUTILS_ADB_PATH": str(program)})
    assert "is confined by snap" in said.stdout
    assert "fix: use adb of another source" in said.stdout
