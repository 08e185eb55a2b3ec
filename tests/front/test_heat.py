"""Verdicts on a phone that its own work heats, and that throttles and says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cache import CACHE_VARIABLE
from harness.virtual_phone import VirtualPhone, start_virtual_phone

from .sessions import Bench, SessionOutcome
from .workplace import SILICON_FLOOR, Workplace, reply

StartHot = Callable[..., VirtualPhone]


@pytest.fixture
def start_hot(bench: Bench, tmp_path: Path) -> Iterator[StartHot]:
    """start_hot(c_per_run=.., cooling_s=..): a phone that does not own to being simulated."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(bench.cache_dir))

        def start(**traits: Any) -> VirtualPhone:
            profile = tmp_path / "hot.yaml"
            profile.write_text(yaml.safe_dump({"soc": "SM8750", "simulated": False, **traits}))
            key = bench.server.public_key_path
            phone = start_virtual_phone(
                None, "hot", profile_path=profile, authorized_key=key, fresh=True
            )
            stack.enter_context(phone)
            bench.server.server.connect_tcp(phone.serial)
            stack.callback(bench.server.server.disconnect, phone.serial)
            return phone

        yield start


def run(bench: Bench, phone: VirtualPhone, work: Workplace, *args: str) -> SessionOutcome:
    return bench.run([*work.args, *bench.args(phone), "-m", "perf", *args])


def furnish(folder: Path, rate: float, **measurement: object) -> Workplace:
    """A model that makes `rate` tok/s, 40 % less while the phone throttles; floor 55."""
    work = Workplace(folder)
    rule = {"cool_down_s": 0.0, "fit_wait_s": 60.0, "max_skin_c": 39.0, **measurement}
    work.write_spec(floors=[SILICON_FLOOR], measurement=rule)
    work.write_bundle(target="silicon")
    said = reply("the shape is red", decode_tokens_per_s=rate, spread=0.01, throttled=0.6)
    work.write_runtime(said)
    return work


def work_heat(c_per_run: float, cooling_s: float) -> dict[str, object]:
    return {"faults": [{"work_heat": {"c_per_run": c_per_run, "cooling_s": cooling_s}}]}


def test_throttled_repeats_do_not_count_and_the_model_passes(
    bench: Bench, start_hot: StartHot, tmp_path: Path
) -> None:
    # From 31 C each run warms by 5: the second after a rest throttles, at 40.
    phone = start_hot(**work_heat(5.0, 4.0))
    done = run(bench, phone, furnish(tmp_path / "work", 60.0))
    assert done.outcomes() == {"test_rate[toy-hybrid]": "passed"}, done.output
    assert done.exit_status == 0
    assert "throttled (thermal status 1): this repeat will not count" in done.output
    assert "is not fit to be measured: skin" in done.output
    assert "s more" in done.output


def test_model_that_lost_twelve_percent_fails_on_a_hot_phone_too(
    bench: Bench, start_hot: StartHot, tmp_path: Path
) -> None:
    phone = start_hot(**work_heat(5.0, 4.0))
    done = run(bench, phone, furnish(tmp_path / "work", 0.88 * 57.0))
    test = done.tests["test_rate[toy-hybrid]"]
    assert (done.exit_status, test.outcome) == (1, "failed"), done.output
    found = re.search("below the floor 55 tok/s for SM8750: median ([0-9.]+) tok/s", test.message)
    assert found is not None, test.message
    assert float(found[1]) == pytest.approx(50.2, abs=1)
    assert "left out" in test.message
    assert test.message in done.output


def test_phone_that_stays_hot_is_inconclusive_and_the_terminal_says_why(
    bench: Bench, start_hot: StartHot, tmp_path: Path
) -> None:
    phone = start_hot(thermal={"skin_c": 44.5, "status": 2})
    done = run(bench, phone, furnish(tmp_path / "work", 60.0), "--fit-wait", "1")
    assert done.exit_status == 75
    why = "0 clean repeats of at least 5: the phone did not become fit: skin 44.5 C (at most 39)"
    assert why in done.tests["test_rate[toy-hybrid]"].message
    assert why in done.output
    assert "thermal status 2 (at most 0); waiting, at most" in done.output


def test_battery_that_is_low_is_waited_for_and_named(
    bench: Bench, start_hot: StartHot, tmp_path: Path
) -> None:
    phone = start_hot(battery={"level_percent": 12})
    done = run(bench, phone, furnish(tmp_path / "work", 60.0), "--fit-wait", "0")
    assert done.exit_status == 75
    assert "battery 12 % (at least 20)" in done.output


def test_time_that_is_over_leaves_the_rate_undecided(
    bench: Bench, start_hot: StartHot, tmp_path: Path
) -> None:
    done = run(
        bench, start_hot(), furnish(tmp_path / "work", 60.0), "--perf-budget", "2", "--cool-down=1"
    )
    assert done.exit_status == 75
    assert "clean repeats of at least 5: the time for repeats is over" in done.output
