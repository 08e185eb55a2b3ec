"""The command `explain`."""

from __future__ import annotations

import argparse
import json
import typing

from harness.socs import find_soc
from harness.spec import Spec, find_spec
from harness.spec.explain import EffectiveValue, effective_values
from harness.spec.model import MetricBound, SizeCeiling
from harness.vocabulary import METRIC_KINDS, Mode

_THRESHOLD_KEYS = ("$.floors", "$.ceilings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("spec", help="a model or a YAML file")
    parser.add_argument("--soc", required=True, help="whose thresholds to show")
    parser.add_argument("--mode", required=True, choices=typing.get_args(Mode))


def main(args: argparse.Namespace) -> int:
    """Print every effective value with its origin, then the thresholds for SoC and mode.

    Raises:
        InputError: there is no such model, file or SoC.
        SpecError: the spec has mistakes.
    """
    soc, spec = find_soc(args.soc), find_spec(args.spec)
    print(f"{spec.path}: {spec.model} on {soc.id} in {args.mode} mode")
    values = [v for v in effective_values(spec.path) if not v.yaml_path.startswith(_THRESHOLD_KEYS)]
    _print_columns([(f"{v.yaml_path}: {_shown(v)}", v.origin) for v in values])
    if args.mode not in spec.modes:
        print(f"\nIt is not tested in {args.mode} mode; modes: {', '.join(spec.modes)}")
    holds, others = _thresholds(spec, soc.id, args.mode)
    print(f"\nThresholds for {soc.id} in {args.mode} mode" + ("" if holds else ": none"))
    _print_columns(holds)
    if others:
        print("\nThresholds that do not count here")
        _print_columns(others)
    return 0


def _shown(value: EffectiveValue) -> str:
    return json.dumps(value.value, ensure_ascii=False)


def _print_columns(rows: list[tuple[str, str]]) -> None:
    """Two columns; a long first cell does not push the others' second one away."""
    width = min(max((len(row[0]) for row in rows), default=0), 72)
    for first, second in rows:
        print(f"  {first:<{width}}  {second}")


def _thresholds(
    spec: Spec, soc_id: str, mode: Mode
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Those that hold for the SoC and mode, and the others with the reason."""
    holds, others = [], []
    thresholds: tuple[MetricBound | SizeCeiling, ...] = (
        *spec.floors,
        *spec.metric_ceilings,
        *spec.size_ceilings,
    )
    for threshold in thresholds:
        place = str(threshold.place)
        for text, for_soc in _bounds(threshold, soc_id):
            about = f"{text} ({threshold.holds_for})"
            if not for_soc:
                others.append((about, f"no value for {soc_id}; {place}"))
            elif threshold.holds_for.mode != mode:
                others.append((about, f"for {threshold.holds_for.mode} mode; {place}"))
            else:
                holds.append((about, place))
    return holds, others


def _bounds(threshold: MetricBound | SizeCeiling, soc_id: str) -> list[tuple[str, bool]]:
    """Each bound as text, and whether it exists for the SoC."""
    if isinstance(threshold, SizeCeiling):
        return [
            (f"{component} pte_size_bytes <= {bound:,}", True)
            for component, bound in threshold.pte_size_bytes.items()
        ]
    value, metric = threshold.value_for(soc_id), METRIC_KINDS[threshold.metric]
    if value is None:
        return [(f"{metric.name} for {', '.join(threshold.per_soc)}", False)]
    sign = ">=" if metric.better == "higher" else "<="
    phones = [
        (f"{metric.name} {sign} {bound:g} {metric.unit} on {serial}", True)
        for serial, bound in threshold.per_serial.items()
    ]
    return [(f"{metric.name} {sign} {value:g} {metric.unit}", True), *phones]
