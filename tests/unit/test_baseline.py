"""Earlier results as a bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.baseline import Baseline
from harness.errors import InputError
from harness.journal import Context, Record, SampleRecord
from harness.spec import Conditions, MetricBound

RATE = "decode_tokens_per_s"
HERE = Conditions("hybrid", 128, "silicon")
CONTEXT = Context(
    model="toy", mode="hybrid", backend="qnn", soc="SM8750", serial="X1", simulated=False,
    max_seq_len=128, target="silicon",
)  # fmt: skip


def record(rate: float, count: int = 5, side: str = "new", **changes: object) -> Record:
    """A night of equal repeats, the first of `count` + 1 throttled."""
    samples = [SampleRecord({RATE: 1.0}, True, side=side)]
    samples += [SampleRecord({RATE: rate}, side=side)] * count
    context = replace(CONTEXT, **changes)  # type: ignore[arg-type]
    return Record(
        1, "run", "2026-11-01T01:00:00+00:00", None, "0.1.0", "test", "pass", None, "", 1.0,
        context, {}, samples,
    )  # fmt: skip


def bound(*records: Record, serial: str = "X1") -> MetricBound:
    return Baseline(Path("old.jsonl"), records).bound(RATE, "toy", "SM8750", serial, HERE)


def test_bound_lies_five_percent_below_the_median_of_nights() -> None:
    made = bound(record(50), record(60), record(58))
    assert made.value_for("SM8750") == pytest.approx(0.95 * 58)
    assert (made.origin, made.note) == ("baseline", "58.0 tok/s, less 5 %; 3 earlier results of X1")
    assert str(made.place).endswith("old.jsonl:3")


def test_results_of_the_same_phone_go_before_others() -> None:
    nights = (record(60), record(40, serial="X2"))
    assert bound(*nights).value_for("SM8750") == pytest.approx(57)
    assert bound(*nights, serial="X2").value_for("SM8750") == pytest.approx(38)
    assert "other phones than X3" in (bound(*nights, serial="X3").note or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"soc": "SM8650"},
        {"mode": "kv"},
        {"max_seq_len": 256},
        {"target": "simulator"},
        {"backend": "xnnpack"},
        {"simulated": True},
        {"count": 4},
        {"side": "old"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_result_that_is_not_comparable_does_not_count(changes: dict[str, object]) -> None:
    other = record(90, **changes)  # type: ignore[arg-type]
    assert bound(record(60), other).value_for("SM8750") == pytest.approx(57)
    with pytest.raises(InputError, match="none of its 1 records is comparable"):
        bound(other)
