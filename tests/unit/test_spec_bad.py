"""Each file of `specs_bad` breaks one rule; its first lines are the whole expected message."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec import load_spec

FOLDER = Path(__file__).with_name("specs_bad")
FILES = sorted(FOLDER.glob("*.yaml"))


def _expected_lines(path: Path) -> list[str]:
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# ").replace("{folder}", str(FOLDER)))
    return lines


def _told_lines(error: SpecError) -> list[str]:
    lines = []
    for found in error.problems:
        lines.append(f"{found.line}:{found.column}: {found.yaml_path}: {found.problem}")
        if found.expected is not None:
            lines.append(f"    expected: {found.expected}")
    return lines


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_load_spec_broken_file_tells_exactly_its_mistakes(path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert _told_lines(caught.value) == _expected_lines(path)


def test_load_spec_broken_file_names_file_line_and_column_in_the_message() -> None:
    path = FOLDER / "mode_twice.yaml"
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert f"{path}:9:13: $.modes[1]: 'kv' was given before" in str(caught.value)
