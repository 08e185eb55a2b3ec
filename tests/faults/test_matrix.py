"""The fault matrix: each fault has its outcome, blames no model and leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from harness.bench import recovery
from harness.cache import CACHE_VARIABLE
from harness.device import lease, push, run, start_private_server, sync, taker

from .matrix import Seen, Site, run_row
from .rows import PASSES, ROWS

AT_ONCE = 6
# Waiting for what will never come; the product waits longer.
SHORTER_S = {
    (lease, "TAKE_S"): 3.0,
    (taker, "ANSWER_S"): 3.0,
    (push, "LOOK_S"): 3.0,
    (push, "DROP_S"): 1.0,
    (sync, "STALL_S"): 2.0,
    (run, "STOP_S"): 2.0,
    (run, "SWEEP_S"): 2.0,
    (recovery, "ANSWER_S"): 2.0,
    (recovery, "BACK_S"): 4.0,
}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Seen]]:
    """All rows, some at once, each on a phone of its own."""
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder / "cache"))
        for (module, name), seconds in SHORTER_S.items():
            patch.setattr(module, name, seconds)
        with start_private_server(folder / "home") as server:
            site = Site(folder, server)
            with ThreadPoolExecutor(AT_ONCE) as executor:
                seen = list(executor.map(partial(run_row, site), range(len(ROWS)), ROWS))
    table = render(seen)
    (folder / "fault_matrix.md").write_text(table)
    print(f"\n{table}")
    yield {one.row.name: one for one in seen}


def render(seen: list[Seen]) -> str:
    """The matrix as a table, as it was seen."""
    lines = [
        "| fault | expected | seen | attempts | seconds | left | next run |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in seen:
        what = f"{one.outcome}{': ' + one.message if one.message else ''}".replace("|", "/")
        left = ", ".join(one.left) or "nothing"
        lines.append(
            f"| {one.row.name} | {one.row.outcome} | {what} | {one.attempts} |"
            f" {one.seconds:.1f} | {left} | {one.next_run} |"
        )
    return "\n".join(lines)


def test_matrix_has_at_least_forty_faults() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault_has_its_outcome_and_leaves_nothing(matrix: Mapping[str, Seen], row: object) -> None:
    seen = matrix[row.name]  # type: ignore[attr-defined]
    assert seen.outcome == seen.row.outcome, seen.message
    assert seen.kind in (("",) if seen.outcome == PASSES else ("infra", "runner"))
    assert seen.left == ()
    assert seen.next_run == PASSES


def test_matrix_table_is_written(tmp_path_factory: pytest.TempPathFactory, matrix: object) -> None:
    found = list(Path(tmp_path_factory.getbasetemp()).glob("faults*/fault_matrix.md"))
    assert found
