"""The command `compile`."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from harness.compile import BundleRequest, Stage, compile_bundle
from harness.errors import InputError
from harness.socs import find_soc
from harness.spec import check_overridable, find_spec, override_recipe
from harness.vocabulary import BACKENDS, MODES, Backend


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("spec", help="a model of specs/, or a YAML file")
    parser.add_argument("--soc", help="SM8550, SM8650, SM8750, SM8850, ...; any for the CPU")
    parser.add_argument("--backend", choices=BACKENDS, help="qnn or xnnpack; default: the spec's")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="the bundle's folder"
    )
    parser.add_argument("--mode", choices=MODES, help="default: the spec's last one")
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="COMPONENT=QUANTIZATION",
        help="change the spec's recipe: vision_encoder=fp16, text_decoder.kv_cache_bits=8, "
        "performance_mode=balanced (repeatable)",
    )
    parser.add_argument(
        "--target",
        choices=("silicon", "simulator"),
        default="silicon",
        help="silicon for a phone (default), simulator for a virtual phone",
    )


def main(args: argparse.Namespace) -> int:
    """Compile one bundle."""
    found = find_spec(args.spec)
    backend: Backend = args.backend or found.backend
    check_overridable(args.recipe, backend)
    spec = override_recipe(found, args.recipe)
    mode = args.mode or spec.modes[-1]
    if mode not in spec.modes:
        raise InputError(
            f"compiling {spec.model}",
            f"--mode {mode} is not one of its modes",
            expected=" or ".join(spec.modes),
        )
    if backend == "qnn" and args.soc is None:
        raise InputError(f"compiling {spec.model}", "no SoC is named", hint="--soc SM8750")
    soc = None if args.soc is None else find_soc(args.soc)
    request = BundleRequest(spec, soc, mode, args.target, backend)
    with _StageLines() as on_stage:
        bundle = compile_bundle(request, args.out, on_stage)
    sizes = bundle.pte_size_bytes()
    for name, part in bundle.manifest.components.items():
        sqnr = "" if part.sqnr_db is None else f", {part.sqnr_db:.1f} dB SQNR on the simulator"
        print(f"{name}: {part.file}, {sizes[name]:,} bytes{sqnr}")
    print(bundle.dir)
    return 0


class _StageLines:
    """Live rows on a terminal, one line per component elsewhere; where the logs are, once."""

    def __init__(self) -> None:
        self._told_logs = False
        self._guard = threading.Lock()
        self._rows: dict[str, TaskID] = {}
        self._table = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<15} {task.fields[stage]:<28}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[expected]}"),
            console=Console(stderr=True),
        )

    def __enter__(self) -> _StageLines:
        if sys.stderr.isatty():
            self._table.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._table.stop()

    def __call__(self, stage: Stage) -> None:
        with self._guard:
            if not self._told_logs:
                self._told_logs = True
                print(f"the compilers' own output goes to {stage.log.parent}", file=sys.stderr)
            if sys.stderr.isatty():
                self._show(stage)
            elif stage.stage in ("done", "cached"):
                print(f"{stage.part}: {stage.stage} ({stage.elapsed_s:.0f} s)", file=sys.stderr)

    def _show(self, stage: Stage) -> None:
        expected = "" if stage.expected_s is None else f"of about {stage.expected_s:.0f} s"
        if stage.part not in self._rows:
            self._rows[stage.part] = self._table.add_task(
                stage.part, total=1, stage=stage.stage, expected=expected
            )
        over = stage.stage in ("done", "cached")
        self._table.update(self._rows[stage.part], stage=stage.stage, completed=1 if over else 0)
