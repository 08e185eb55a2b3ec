"""Sessions that hold a model against what it was: two bundles in turn, earlier results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.journal import read_journal

from .sessions import Bench, SessionOutcome
from .workplace import RED, SILICON_FLOOR, Workplace, prompt_ids, reply

MANY_RUNS_S = 900.0  # a comparison is 24 to 40 of them
NO_SLOWER = "test_no_slower[toy-hybrid]"


def furnish(folder: Path, new_rate: float, **spread: float) -> tuple[Workplace, Path, Path]:
    """An old bundle that makes 60 tok/s and a new one; they differ in their prompts' ids."""
    work = Workplace(folder)
    work.write_spec()
    ids = [*prompt_ids(work.load_spec(), "red"), 7]
    old = work.write_bundle(folder=folder / "old")
    new = work.write_bundle(folder=folder / "new", prompt_suffix=(7,))
    said = reply("the shape is red", decode_tokens_per_s=new_rate, **spread)
    work.write_runtime({**RED, **spread}, [{"match": {"prompt_token_ids": ids}, "reply": said}])
    return work, old, new


def compare(
    bench: Bench, work: Workplace, old: Path, new: Path, *args: str, simulated: bool = False
) -> SessionOutcome:
    phone = bench.simulated if simulated else bench.silicon
    given = ["--specs", str(work.specs_dir), "--runtime", str(work.runtime_dir)]
    compared = ["--compare-pte", str(old), str(new), "-k", "no_slower"]
    return bench.run([*given, *bench.args(phone), *compared, *args], end_s=MANY_RUNS_S)


def test_new_bundle_that_is_as_fast_passes(bench: Bench, tmp_path: Path) -> None:
    work, old, new = furnish(tmp_path / "work", 60.0, spread=0.01)
    journal = tmp_path / "journal.jsonl"
    done = compare(bench, work, old, new, "--journal", str(journal))
    assert done.exit_status == 0, done.output
    assert done.outcomes()[NO_SLOWER] == "passed"
    properties = done.tests[NO_SLOWER].properties
    assert abs(float(properties["compare.change"])) < 0.02
    assert properties["compare.false_alarm_rate"] == "0.01"
    assert float(properties["old.decode_tokens_per_s"]) == pytest.approx(60, rel=0.02)
    told = "the new bundle is as fast as the old one: change "
    assert told in done.output
    assert "FAIL at a false-alarm rate of 1 % over all looks" in done.output
    (record,) = [r for r in read_journal(journal) if r.test.endswith(NO_SLOWER)]
    assert record.verdicts[0].sentence.startswith(told)
    sides = [sample.side for sample in record.samples]
    assert {side: sides.count(side) for side in ("old", "new")} == {"old": 12, "new": 12}
    assert all(sides[i : i + 4].count("old") == 2 for i in range(0, 24, 4))


def test_new_bundle_that_is_twelve_percent_slower_fails(bench: Bench, tmp_path: Path) -> None:
    work, old, new = furnish(tmp_path / "work", 0.88 * 60.0, spread=0.01)
    done = compare(bench, work, old, new)
    test = done.tests[NO_SLOWER]
    assert (done.exit_status, test.outcome) == (1, "failed"), done.output
    assert test.properties["failure.class"] == "perf"
    assert float(test.properties["compare.high"]) < 0
    assert float(test.properties["compare.effect"]) < -3
    assert "the new bundle is slower than the old one: change -1" in test.message
    assert test.message in done.output


def test_comparison_that_time_ends_is_inconclusive(bench: Bench, tmp_path: Path) -> None:
    work, old, new = furnish(tmp_path / "work", 60.0)
    done = compare(bench, work, old, new, "--perf-budget", "0.001", "--cool-down", "1")
    assert done.exit_status == 75
    why = "0 clean blocks of at least 6: the time for repeats is over"
    assert why in done.tests[NO_SLOWER].message
    assert why in done.output


def test_simulated_bundles_are_not_compared(bench: Bench, tmp_path: Path) -> None:
    work = Workplace(tmp_path / "work").furnish("simulator")
    bundle = work.bundles_dir / "toy/SM8750/hybrid"
    done = compare(bench, work, bundle, bundle, simulated=True)
    assert done.exit_status == 0
    assert "a simulated phone's speed is no phone's" in done.tests[NO_SLOWER].message


@pytest.mark.parametrize(
    ("made_for", "said"),
    [
        ({"soc": "SM8650"}, "it was made for SoC SM8650, not SM8750"),
        ({"mode": "kv"}, "it serves mode kv, not hybrid"),
        ({"target": "simulator"}, "it was made for target simulator, not silicon"),
        (None, "old: there is no such folder"),
    ],
    ids=["soc", "mode", "target", "missing"],
)
def test_old_bundle_that_does_not_fit_is_one_error(
    bench: Bench, tmp_path: Path, made_for: dict[str, str] | None, said: str
) -> None:
    work = Workplace(tmp_path / "work").furnish("silicon")
    old = tmp_path / "old"
    if made_for is not None:
        work.write_bundle(folder=old, **made_for)
    done = compare(bench, work, old, work.bundles_dir)
    message = done.only_error()
    assert said in message
    assert str(old) in message


def test_compare_and_pre_gen_pte_contradict_each_other(bench: Bench, tmp_path: Path) -> None:
    work = Workplace(tmp_path / "work").furnish("silicon")
    done = compare(bench, work, tmp_path, tmp_path, "--pre-gen-pte", str(tmp_path))
    assert done.exit_status == 4
    assert "--compare-pte and --pre-gen-pte contradict each other" in done.output


def earlier(bench: Bench, folder: Path, rate: float) -> tuple[Workplace, Path]:
    """A model that made `rate` tok/s last night, and the journal of it."""
    work = Workplace(folder / "work")
    work.write_spec(floors=[{**SILICON_FLOOR, "sm8750_token_rate": 30}])
    work.write_bundle(target="silicon")
    work.write_runtime(reply("the shape is red", decode_tokens_per_s=rate, spread=0.01))
    journal = folder / "earlier.jsonl"
    done = bench.run(
        [*work.args, *bench.args(bench.silicon), "-m", "perf", "--journal", str(journal)]
    )
    assert done.outcomes() == {"test_rate[toy-hybrid]": "passed"}, done.output
    return work, journal


def tonight(bench: Bench, work: Workplace, baseline: Path) -> SessionOutcome:
    args = [*work.args, *bench.args(bench.silicon), "-m", "perf", "--baseline", str(baseline)]
    return bench.run(args)


def test_model_as_fast_as_its_baseline_passes_beside_its_floor(
    bench: Bench, tmp_path: Path
) -> None:
    work, journal = earlier(bench, tmp_path, 60.0)
    done = tonight(bench, work, journal)
    assert done.outcomes() == {
        "test_rate[toy-hybrid]": "passed",
        "test_baseline[toy-hybrid]": "passed",
    }, done.output
    assert "that the baseline gives (" in done.output
    assert "earlier.jsonl:1" in done.output


def test_model_slower_than_its_baseline_fails_though_it_clears_its_floor(
    bench: Bench, tmp_path: Path
) -> None:
    work, journal = earlier(bench, tmp_path, 60.0)
    work.write_runtime(reply("the shape is red", decode_tokens_per_s=0.88 * 60, spread=0.01))
    done = tonight(bench, work, journal)
    assert done.outcomes() == {
        "test_rate[toy-hybrid]": "passed",
        "test_baseline[toy-hybrid]": "failed",
    }, done.output
    assert done.exit_status == 1
    message = done.tests["test_baseline[toy-hybrid]"].message
    assert "less 5 %; 1 earlier results of" in message
    assert message in done.output


def test_garbled_baseline_is_one_error_and_no_test_runs(bench: Bench, tmp_path: Path) -> None:
    work = Workplace(tmp_path / "work").furnish("silicon")
    baseline = tmp_path / "baseline.jsonl"
    baseline.write_text("{}\n\x00 garbage\n")
    done = tonight(bench, work, baseline)
    assert (done.exit_status, done.tests) == (4, {})
    assert done.output.count("line 1 is no record") == 1
    assert "Traceback" not in done.output


def test_baseline_without_a_comparable_record_is_one_error(bench: Bench, tmp_path: Path) -> None:
    work, journal = earlier(bench, tmp_path, 60.0)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        context: dict[str, Any] = line["context"]
        context["max_seq_len"] = 1024
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = tonight(bench, work, journal)
    message = done.only_error()
    assert "none of its 1 records is comparable (it has toy-hybrid on SM8750)" in message
    assert "toy on SM8750, hybrid, max_seq_len 128, silicon, qnn, not simulated" in message
