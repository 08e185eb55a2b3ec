from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from harness.device import LocalFile, RunPlan, run_on_device
from harness.errors import InputError

FileMaker = Callable[[str, bytes], LocalFile]
Bench = Any  # of conftest.py
BenchStarter = Callable[..., Bench]
PlanMaker = Callable[..., RunPlan]
WaitUntil = Callable[[Callable[[], bool], str], None]
IsRunning = Callable[[int], bool]


def test_run_all_that_the_runner_says_comes_back(bench: Bench, make_plan: PlanMaker) -> None:
    request = json.dumps({"prompt": 'it\'s "$HOME"\n😀'}, indent=1).encode()
    plan = make_plan(
        'echo "arguments: $*"; echo talk >&2; cat request.json >report.json; exit 7',
        request_json=request,
    )
    outcome = run_on_device(bench.device, plan)
    assert outcome.exit_code == 7
    assert outcome.stdout == "arguments: --request request.json --report report.json\n"
    assert outcome.stderr == "talk\n"
    assert outcome.report_json == request
    assert bench.run_folders() == []


def test_run_output_without_newline_and_binary_report_come_back(
    bench: Bench, make_plan: PlanMaker
) -> None:
    plan = make_plan(r"printf half; printf '\0\377\n\n' >report.json")
    outcome = run_on_device(bench.device, plan)
    assert outcome.stdout == "half"
    assert outcome.report_json == b"\0\xff\n\n"


def test_run_files_lie_under_their_names_as_links(
    bench: Bench, make_plan: PlanMaker, make_file: FileMaker
) -> None:
    image = make_file("image", b"pixels")
    files = {"cases/a b/pixels_0.bin": image, "-odd name": image}
    plan = make_plan("cat 'cases/a b/pixels_0.bin' './-odd name'; ls -l cases/*/", files=files)
    outcome = run_on_device(bench.device, plan)
    assert outcome.stdout.startswith("pixelspixels")
    assert f"store/{image.sha256}" in outcome.stdout


def test_run_second_time_pushes_nothing(bench: Bench, make_plan: PlanMaker) -> None:
    plan = make_plan(f"exit 0 # {os.urandom(8).hex()}")
    assert run_on_device(bench.device, plan).pushed_bytes > 0
    assert run_on_device(bench.device, plan).pushed_bytes == 0


def test_run_environment_is_the_plans_and_the_library_paths(
    bench: Bench, make_plan: PlanMaker
) -> None:
    plan = make_plan(
        'printf "%s|" "$LD_LIBRARY_PATH" "$ADSP_LIBRARY_PATH" "$EXTRA"', env={"EXTRA": "a 'b' $c"}
    )
    assert run_on_device(bench.device, plan).stdout == ".|.|a 'b' $c|"


def test_run_without_report_has_none(bench: Bench, make_plan: PlanMaker) -> None:
    outcome = run_on_device(bench.device, make_plan("exit 1"))
    assert (outcome.exit_code, outcome.report_json) == (1, None)


@pytest.mark.parametrize(("name", "code"), [("SEGV", 139), ("KILL", 137), ("ABRT", 134)])
def test_run_killed_by_signal_is_128_plus_n(
    bench: Bench, make_plan: PlanMaker, name: str, code: int
) -> None:
    outcome = run_on_device(bench.device, make_plan(f"kill -{name} $$"))
    assert (outcome.exit_code, outcome.report_json) == (code, None)
    assert bench.run_folders() == []


def test_run_executable_that_cannot_start_is_126_or_127(bench: Bench, make_file: FileMaker) -> None:
    files = {"runner": make_file("runner", b"\x7fELF no program")}
    outcome = run_on_device(bench.device, RunPlan(files, b"{}", "runner", 10))
    assert outcome.exit_code in (126, 127)
    assert outcome.stderr


@pytest.mark.parametrize("name", ["../up", "/abs", "a/../../b", "a\nb", " a", "request.json"])
def test_run_file_name_that_leaves_the_folder_is_refused(
    bench: Bench, make_plan: PlanMaker, make_file: FileMaker, name: str
) -> None:
    plan = make_plan("exit 0", files={name: make_file("x", b"x")})
    with pytest.raises(InputError, match="file name"):
        run_on_device(bench.device, plan)
