"""The stored float replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.accuracy.agreement import Candidate
from harness.errors import BundleCorrupt
from harness.references import Reference, TurnReference, read_reference, write_reference

REFERENCE = Reference(
    (
        TurnReference((5, 2), ((Candidate(5, 7.5), Candidate(9, -1.25)),) * 2, "stop_token"),
        TurnReference((), (), "max_new_tokens"),
    )
)


def test_read_reference_gives_what_was_written(tmp_path: Path) -> None:
    write_reference(tmp_path / "reference.json", REFERENCE)
    assert read_reference(tmp_path / "reference.json") == REFERENCE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"turns": [{"token_ids": [1], "best": []}]}', "turns.0.stop_reason: Field required"),
        (
            '{"turns": [{"token_ids": [1], "best": [], "stop_reason": "stop_token"}]}',
            "turns.0: 0 choices for 1 tokens",
        ),
    ],
)
def test_read_reference_garbled_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "reference.json"
    path.write_text(content)
    with pytest.raises(BundleCorrupt, match=message):
        read_reference(path)


def test_read_reference_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleCorrupt, match="No such file"):
        read_reference(tmp_path / "reference.json")
