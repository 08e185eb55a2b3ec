"""What is told of the bench at the end of a session."""

from __future__ import annotations

from collections.abc import Mapping

from harness.bench.ledger import Record


def bench_lines(records: Mapping[str, Record]) -> list[str]:
    """A line per phone and per trouble; nothing if one healthy phone did everything."""
    if len(records) < 2 and not any(record.troubles for record in records.values()):
        return []
    lines = []
    for name, record in records.items():
        state = f"quarantined: {record.quarantine}" if record.quarantine else "in use"
        runs = f"{record.runs} run{'s' if record.runs != 1 else ''}"
        lines.append(f"{name}: {runs}, health {record.health}, {state}")
        for trouble in record.troubles:
            tried = f" (then tried: {', '.join(trouble.recovery)})" if trouble.recovery else ""
            lines.append(f"    {trouble.kind}: {trouble.problem.splitlines()[0]}{tried}")
    return lines
