"""The table at the end of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter


@dataclass
class Row:
    """One line: a case, or the performance or size check, of a model in a mode on a SoC.

    `size_bytes` is that of all PTEs together. `note` says why nothing was judged.
    """

    model: str
    soc: str
    mode: str
    case: str
    verdict: str
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    size_bytes: int | None = None
    reply: str = ""
    simulated: bool = False
    note: str = ""


_HEAD = (
    "model",
    "SoC",
    "mode",
    "case",
    "verdict",
    "ttft ms",
    "prefill tok/s",
    "decode tok/s",
    "size MB",
    "reply",
)
_NUMERIC = range(5, 9)


def render_table(rows: Iterable[Row]) -> list[str]:
    """Lines of a plain table, then why some lines have no judgement.

    Numbers of a simulated device carry an asterisk.
    """
    rows = sorted(rows, key=attrgetter("model", "soc", "mode"))
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    if any("*" in line for line in lines):
        lines.append("* simulated: not a phone's speed, and never compared with a floor")
    lines += [f"{row.model}-{row.mode} {row.case}: {row.note}" for row in rows if row.note]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    mark = "*" if row.simulated else ""
    numbers = (
        _number(row.metrics.get("ttft_ms"), 0, mark),
        _number(row.metrics.get("prefill_tokens_per_s"), 1, mark),
        _number(row.metrics.get("decode_tokens_per_s"), 1, mark),
        "" if row.size_bytes is None else f"{row.size_bytes / 1e6:.1f}",
    )
    return (row.model, row.soc, row.mode, row.case, row.verdict, *numbers, _short(row.reply))


def _number(value: float | None, digits: int, mark: str) -> str:
    return "" if value is None else f"{value:.{digits}f}{mark}"


def _short(reply: str, limit: int = 48) -> str:
    flat = " ".join(reply.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column in _NUMERIC else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
