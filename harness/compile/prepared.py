"""The answer of a preparing job. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from harness.manifest import CaseInputs


@dataclass(frozen=True)
class PreparedCases:
    """What the manifest says of the cases; the files lie beside the result."""

    image_token_id: int
    stop_token_ids: tuple[int, ...]
    cases: dict[str, CaseInputs]
