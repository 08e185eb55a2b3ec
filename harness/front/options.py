"""Command-line options, with ExecuTorch's spellings as aliases."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from harness.baseline import Baseline, load_baseline
from harness.bench.phones import Phone, Wish
from harness.errors import InputError
from harness.front.bench_options import BenchOptions, add_bench_options, read_bench_options
from harness.socs import find_soc
from harness.vocabulary import BACKENDS, MODES, Backend, Mode, Target

TARGETS: tuple[Target, ...] = ("silicon", "simulator")
VIRTUAL = "virtual"


@dataclass(frozen=True)
class Options:
    """What the command line asks for. None: not said."""

    specs_dir: Path | None
    soc: str | None
    serials: tuple[str, ...]
    adb_host: str | None
    adb_port: int | None
    pre_gen_pte: Path | None
    runtime: Path | None
    runner: Path | None
    compile_only: bool
    modes: tuple[Mode, ...]
    recipe: tuple[str, ...]
    target: Target | None
    backend: Backend | None
    strict: bool
    run_timeout_s: float
    fresh_phone: bool
    phone_profile: Path | None
    bench: BenchOptions
    journal: Path | None
    cool_down_s: float | None
    perf_budget_s: float | None
    compared: tuple[Path, Path] | None  # old and new bundles; the new ones are `pre_gen_pte` too
    baseline: Baseline | None
    fit_wait_s: float | None
    inconclusive: Literal["inconclusive", "fail", "pass", "xfail"]


@dataclass(frozen=True)
class Place:
    """Where tests of one parametrisation run: on one device, or on any phone of one SoC."""

    serial: str | None  # None: the only device there is, or any phone of the bench
    soc: str | None = None


def add_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("vlm-device-harness", "vision-language models on phones")
    _add_device_options(group)
    add_bench_options(parser)
    group.addoption(
        "--specs", type=Path, metavar="DIR", help="folder of specs (specs/ of the project)"
    )
    group.addoption(
        "--pre-gen-pte",
        "--pre_gen_pte",
        type=Path,
        metavar="DIR",
        help="a bundle, or a folder <model>/<soc>/<mode> of bundles: nothing is compiled",
    )
    group.addoption(
        "--runtime", type=Path, metavar="DIR", help="a Runtime folder: nothing is built"
    )
    group.addoption(
        "--runner",
        type=Path,
        metavar="FILE",
        help="ExecuTorch's own qnn_multimodal_runner for the device, used instead of ours",
    )
    group.addoption(
        "--compile-only", "--compile_only", action="store_true", help="compile; use no device"
    )
    group.addoption(
        "--mode", action="append", default=[], choices=MODES, help="only this mode (repeatable)"
    )
    group.addoption(
        "--recipe",
        action="append",
        default=[],
        metavar="COMPONENT=QUANTIZATION",
        help="change the specs' recipes: vision_encoder=fp16, text_decoder.kv_cache_bits=8, "
        "performance_mode=balanced (repeatable)",
    )
    _add_measuring_options(group)
    group.addoption("--target", choices=TARGETS, help="compile for this target (the device's)")
    group.addoption("--backend", choices=BACKENDS, help="run on this backend (each spec's own)")


def _add_measuring_options(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--journal",
        type=Path,
        metavar="FILE",
        help="JSON-lines file to append a record of each test to (one in the cache)",
    )
    seconds = {"type": float, "metavar": "S"}
    group.addoption("--cool-down", **seconds, help="pause before each repeat (the spec's: 45)")
    group.addoption(
        "--perf-budget", **seconds, help="time for the repeats of one check (the spec's: 3600)"
    )
    group.addoption(
        "--fit-wait", **seconds, help="how long a phone may take to become fit (the spec's: 600)"
    )
    group.addoption(
        "--compare-pte",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="two bundles, or folders of them: is NEW slower than OLD on the same phone? Every "
        "other check is about NEW",
    )
    group.addoption(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="a journal of earlier results: is the model slower than it was?",
    )
    group.addoption(
        "--inconclusive",
        choices=("inconclusive", "fail", "pass", "xfail"),
        default="inconclusive",
        help="what a check that decides nothing counts as (an outcome of its own, status 75)",
    )


def _add_device_options(group: pytest.OptionGroup) -> None:
    group.addoption("--soc", "--soc_model", help="SoC to test; must be the device's (SM8750)")
    group.addoption(
        "--serial",
        "--device",
        action="append",
        default=[],
        help="adb serial of the device; 'virtual' starts a virtual phone",
    )
    group.addoption("--adb-host", "--host", help="host of the adb server (127.0.0.1)")
    group.addoption("--adb-port", type=int, help="port of the adb server (5037)")
    group.addoption(
        "--run-timeout",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds one run of the runner may take (300)",
    )
    group.addoption(
        "--fresh-phone", action="store_true", help="wipe the virtual phone's disk first"
    )
    group.addoption(
        "--phone-profile", type=Path, metavar="FILE", help="YAML profile of the virtual phone"
    )


def read_options(config: pytest.Config) -> Options:
    """The options of a session.

    Raises:
        InputError: they contradict each other, or name an unknown SoC.
    """
    compared = config.getoption("--compare-pte")
    given: Path | None = config.getoption("--pre-gen-pte")
    if compared is not None and given is not None:
        problem = "--compare-pte and --pre-gen-pte contradict each other"
        raise InputError("reading the command line", problem, hint="--compare-pte OLD NEW alone")
    options = Options(
        specs_dir=config.getoption("--specs"),
        soc=config.getoption("--soc"),
        serials=tuple(config.getoption("--serial")),
        adb_host=config.getoption("--adb-host"),
        adb_port=config.getoption("--adb-port"),
        pre_gen_pte=given if compared is None else compared[1],
        runtime=config.getoption("--runtime"),
        runner=config.getoption("--runner"),
        compile_only=config.getoption("--compile-only"),
        modes=tuple(config.getoption("--mode")),
        recipe=tuple(config.getoption("--recipe")),
        target=config.getoption("--target"),
        backend=config.getoption("--backend"),
        # pytest's own option, which makes it strict about markers; we are about thresholds.
        strict=bool(config.getini("strict")),
        run_timeout_s=config.getoption("--run-timeout"),
        fresh_phone=config.getoption("--fresh-phone"),
        phone_profile=config.getoption("--phone-profile"),
        bench=read_bench_options(config),
        journal=config.getoption("--journal"),
        cool_down_s=config.getoption("--cool-down"),
        perf_budget_s=config.getoption("--perf-budget"),
        compared=None if compared is None else (compared[0], compared[1]),
        baseline=_read_baseline(config),
        fit_wait_s=config.getoption("--fit-wait"),
        inconclusive=config.getoption("--inconclusive"),
    )
    _check(options)
    return options


def _read_baseline(config: pytest.Config) -> Baseline | None:
    """Read before any test writes to the journal, which may be the same file."""
    path: Path | None = config.getoption("--baseline")
    return None if path is None else load_baseline(path)


def wanted_places(options: Options) -> tuple[Place, ...]:
    """The devices that `--serial` or ANDROID_SERIAL name, or each SoC of the bench.

    One place without a name stands for the only device there is.
    """
    if options.compile_only:
        return (Place(None),)
    if options.bench.phones is not None:
        socs = {phone.soc for phone in options.bench.phones if _is_wanted(phone, options)}
        return tuple(Place(None, soc) for soc in sorted(filter(None, socs)))
    if options.bench.everything:
        return (Place(None, options.soc),)
    named = dict.fromkeys(options.serials) or ([os.environ.get("ANDROID_SERIAL") or None])
    return tuple(Place(serial) for serial in named)


def _is_wanted(phone: Phone, options: Options) -> bool:
    soc = None if options.soc is None else find_soc(options.soc).id
    wish = Wish(soc, frozenset(options.serials), options.bench.labels)
    return wish.allows(phone)


def _check(options: Options) -> None:
    doing = "reading the command line"
    if options.soc is not None:
        find_soc(options.soc)
    if options.compile_only and options.pre_gen_pte:
        name = "--compare-pte" if options.compared else "--pre-gen-pte"
        raise InputError(doing, f"--compile-only and {name} contradict each other")
    if options.compile_only and options.soc is None:
        raise InputError(doing, "--compile-only needs --soc", hint="--soc SM8750")
    if options.runner is not None and not options.runner.is_file():
        raise InputError(doing, f"--runner {options.runner} is no file")
    of_virtual = options.fresh_phone or options.phone_profile is not None
    if of_virtual and VIRTUAL not in options.serials:
        raise InputError(
            doing,
            "--phone-profile and --fresh-phone are about a virtual phone, and none is asked for",
            hint=f"--serial {VIRTUAL}",
        )
    if options.bench.is_pool:
        _check_pool(options)
    _check_measuring(options)


def _check_measuring(options: Options) -> None:
    doing = "reading the command line"
    if options.compared is not None and options.runner is not None:
        raise InputError(
            doing,
            "--compare-pte and --runner contradict each other",
            expected="our own runner, which can be told how many tokens to make",
            hint="leave --runner out",
        )
    for name, value in (
        ("--cool-down", options.cool_down_s),
        ("--perf-budget", options.perf_budget_s),
        ("--fit-wait", options.fit_wait_s),
    ):
        if value is not None and value < 0:
            raise InputError(doing, f"{name} is {value:g}", expected="seconds, not below 0")
    if options.run_timeout_s <= 0:
        raise InputError(
            doing, f"--run-timeout is {options.run_timeout_s:g}", expected="seconds above 0"
        )


def _check_pool(options: Options) -> None:
    doing = "reading the command line"
    if options.bench.everything and options.soc is None:
        raise InputError(doing, "--bench adb needs --soc", hint="--soc SM8750")
    if VIRTUAL in options.serials:
        raise InputError(doing, f"--bench and --serial {VIRTUAL} contradict each other")
    if options.bench.phones is not None and not wanted_places(options):
        raise InputError(
            doing,
            "no phone of the bench file has the SoC, serial and labels asked for",
            expected=", ".join(f"{phone.serial} ({phone.soc})" for phone in options.bench.phones),
        )
