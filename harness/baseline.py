"""Earlier results as a bound: what a model once did, it must still do.

From the comparable records of a journal the median of their medians is taken, and 5 % below
it (above it, where lower is better) lies the bound. Tonight's repeats are held against that
as against any floor, so what `benchmarks/nights/table.md` says of floors 5 % under the true
rate holds here too, but for the error of the baseline itself: a median over many nights has
little of it, one night's has as much as tonight's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.errors import InputError
from harness.journal import Record, read_journal
from harness.perf.sequential import FEWEST_SAMPLES
from harness.spec.model import Conditions, MetricBound, SpecPlace
from harness.vocabulary import METRIC_KINDS

TOLERATED_CHANGE = 0.05


@dataclass(frozen=True)
class Baseline:
    """A journal of earlier results; a record's line is its place in `records`, from 1."""

    path: Path
    records: tuple[Record, ...]

    def bound(
        self, metric: str, model: str, soc: str, serial: str | None, conditions: Conditions
    ) -> MetricBound:
        """The bound that comparable records give for a model on a phone.

        Comparable are those of the same model, SoC and conditions on silicon with at least
        five clean repeats; of the same phone if there are any, else of other phones.

        Raises:
            InputError: no record is comparable.
        """
        found = [
            (line, record, values)
            for line, record in enumerate(self.records, start=1)
            if _fits(record, model, soc, conditions)
            and len(values := _clean_values(record, metric)) >= FEWEST_SAMPLES
        ]
        same_phone = [each for each in found if each[1].context.serial == serial]
        chosen = same_phone or found
        if not chosen:
            raise self._none_comparable(metric, model, soc, conditions)
        centre = median(median(values) for _, _, values in chosen)
        kind = METRIC_KINDS[metric]
        sign = -1 if kind.better == "higher" else 1
        phones = f"{serial}" if same_phone else f"other phones than {serial}"
        note = (
            f"{centre:.1f} {kind.unit}, less 5 %; {len(chosen)} earlier results of {phones}"
            if sign < 0
            else f"{centre:.1f} {kind.unit}, plus 5 %; {len(chosen)} earlier results of {phones}"
        )
        value = float(f"{centre * (1 + sign * TOLERATED_CHANGE):.4g}")
        place = SpecPlace(self.path, chosen[-1][0])
        return MetricBound(metric, conditions, {soc: value}, {}, note, place, "baseline")

    def _none_comparable(
        self, metric: str, model: str, soc: str, conditions: Conditions
    ) -> InputError:
        contexts = [record.context for record in self.records]
        known = sorted({f"{c.model}-{c.mode} on {c.soc}" for c in contexts if c.model is not None})
        return InputError(
            f"comparing {model} with the baseline {self.path}",
            f"none of its {len(self.records)} records is comparable "
            f"(it has {', '.join(known) or 'no results'})",
            expected=f"{model} on {soc}, {conditions}, not simulated, with at least "
            f"{FEWEST_SAMPLES} clean repeats of {metric}",
            hint=f"make one: pytest -m 'perf and {model}' --journal FILE, with a floor in the spec",
        )


def load_baseline(path: Path) -> Baseline:
    """Read a journal.

    Raises:
        InputError: it cannot be read, or a line is no record.
    """
    return Baseline(path, tuple(read_journal(path)))


def _fits(record: Record, model: str, soc: str, conditions: Conditions) -> bool:
    context = record.context
    found = (context.model, context.soc, context.simulated, context.mode)
    made = (context.max_seq_len, context.target, context.backend)
    return found == (model, soc, False, conditions.mode) and made == (
        conditions.max_seq_len,
        conditions.target,
        conditions.backend,
    )


def _clean_values(record: Record, metric: str) -> list[float]:
    """Of what was measured alone, or of the new bundle in a comparison."""
    clean = [s.metrics for s in record.samples if not s.throttled and s.side != "old"]
    return [value for metrics in clean if (value := metrics.get(metric))]
