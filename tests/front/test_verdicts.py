"""What a session says of models: right, wrong, too slow, too large, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .sessions import Bench, SessionOutcome
from .workplace import PTE_BYTES, RED, SILICON_FLOOR, Workplace, case, prompt_ids, reply

CASES: dict[str, Any] = {
    "right": case("Which colour?"),
    "wrong": case("What shape?", all_of=["green"]),
    "forbidden": case("Is it blue?", all_of=["shape"], none_of=["red"]),
    "echo": case("Is the shape blue?", all_of=["blue"]),
    "echoed": case("The shape is red?", all_of=["red"]),
    "cut": case("Say it at length", all_of=["blue"]),
}


@pytest.fixture(scope="module")
def answers(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> SessionOutcome:
    """Questions to a model that says "the shape is red", whatever it is asked."""
    work = Workplace(tmp_path_factory.mktemp("work") / "answers")
    work.write_spec(cases=CASES)
    work.write_bundle()
    ids = prompt_ids(work.load_spec(), "cut")
    endless = {"match": {"prompt_token_ids": ids}, "reply": reply("red " * 20)}
    work.write_runtime(RED, [endless])
    return bench.run([*work.args, *bench.args(bench.silicon), "-m", "smolvlm and accuracy"])


def test_answer_right_is_green(answers: SessionOutcome) -> None:
    test = answers.tests["test_answer[toy-hybrid-right]"]
    assert test.outcome == "passed"
    assert test.properties["verdict"] == "pass"
    assert test.properties["reply"] == "the shape is red"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "'green'"),
        ("forbidden", "'red'"),
        ("echo", "'blue'"),
        ("echoed", "it is the prompt and holds no word besides"),
        ("cut", "cut off by max_new_tokens"),
    ],
)
def test_answer_wrong_is_red_and_says_what_and_where(
    answers: SessionOutcome, name: str, message: str
) -> None:
    test = answers.tests[f"test_answer[toy-hybrid-{name}]"]
    assert test.outcome == "failed"
    assert f"the reply to {name} is wrong" in test.message
    assert message in test.message
    assert "red" in test.message
    assert "toy.yaml:" in test.message
    assert test.properties["failure.class"] == test.kind == "accuracy"
    assert test.message in answers.output


def test_session_with_a_wrong_answer_ends_with_status_1(answers: SessionOutcome) -> None:
    assert answers.exit_status == 1


def test_table_and_junit_hold_what_was_measured(answers: SessionOutcome) -> None:
    test = answers.tests["test_answer[toy-hybrid-right]"]
    expected = {"model": "toy", "soc": "SM8750", "mode": "hybrid", "case": "right"}
    assert expected.items() <= test.properties.items()
    for name in ("ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s", "peak_rss_mib"):
        assert float(test.properties[name]) > 0
    lines = answers.output.splitlines()
    (line,) = [line for line in lines if line.split()[:4] == ["toy", "SM8750", "hybrid", "right"]]
    assert line.split()[4:9] == ["pass", "120", "30.0", "60.0", "0.0"]
    assert sum(line.split()[:3] == ["toy", "SM8750", "hybrid"] for line in lines) == len(CASES)


# Model -> its floor. Each runs at 60 tok/s.
FLOORS: dict[str, list[dict[str, Any]]] = {
    "cleared": [SILICON_FLOOR],
    "too_slow": [{**SILICON_FLOOR, "sm8750_token_rate": 80}],
    "no_floor": [],
    "other_soc": [{**SILICON_FLOOR, "sm8750_token_rate": None, "sm8650_token_rate": 50}],
    "other_mode": [{**SILICON_FLOOR, "mode": "kv"}],
    "other_length": [{**SILICON_FLOOR, "max_seq_len": 1024}],
    "undecided": [{**SILICON_FLOOR, "mode": "kv"}],
}


def _write_models(work: Workplace, target: str) -> Workplace:
    for model, floors in FLOORS.items():
        known = [{k: v for k, v in floor.items() if v is not None} for floor in floors]
        ceiling = PTE_BYTES - 1 if model == "too_slow" else PTE_BYTES
        bounds = {"mode": "hybrid", "max_seq_len": 128, "target": target}
        ceilings = [{**bounds, "text_decoder_pte_size_bytes": ceiling}]
        mode = "kv" if model == "undecided" else "hybrid"
        rule = {"cool_down_s": 0.0}
        if model == "undecided":
            rule["budget_s"] = 0.001  # over after the first repeat
        work.write_spec(model, floors=known, ceilings=ceilings, modes=[mode], measurement=rule)
        work.write_bundle(model, mode=mode, target=target)
    work.write_runtime()
    return work


@pytest.fixture(scope="module")
def silicon_work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return _write_models(Workplace(tmp_path_factory.mktemp("work") / "rates"), "silicon")


@pytest.fixture(scope="module")
def rates(bench: Bench, silicon_work: Workplace) -> SessionOutcome:
    args = [*silicon_work.args, *bench.args(bench.silicon), "-m", "perf or size"]
    return bench.run(args)


@pytest.mark.parametrize(
    ("model", "outcome", "said"),
    [
        ("cleared", "passed", ""),
        ("too_slow", "failed", "decode 60.0 tok/s is 25 % below the floor 80 tok/s for SM8750"),
        ("no_floor", "skipped", "the spec has no floor for any rate"),
        ("other_soc", "skipped", "no floor for SM8750"),
        ("other_mode", "skipped", "mode is hybrid, not kv"),
        ("other_length", "skipped", "max_seq_len is 128, not 1024"),
        ("undecided", "skipped", "decode is not decided against the floor 55 tok/s for SM8750"),
    ],
)
def test_rate_is_judged_only_by_a_floor_that_applies(
    rates: SessionOutcome, model: str, outcome: str, said: str
) -> None:
    mode = "kv" if model == "undecided" else "hybrid"
    test = rates.tests[f"test_rate[{model}-{mode}]"]
    assert test.outcome == outcome
    assert said in test.message
    assert said in rates.output
    assert rates.exit_status == 1


def test_size_above_its_ceiling_is_red(rates: SessionOutcome) -> None:
    large = rates.tests["test_size[too_slow-hybrid]"]
    assert large.outcome == "failed"
    assert "text_decoder PTE of 4,000 bytes" in large.message
    assert "above the ceiling 3,999 bytes" in large.message
    assert large.properties["failure.class"] == "size"
    assert rates.tests["test_size[cleared-hybrid]"].outcome == "passed"


def test_missing_floor_under_strict_is_an_error(bench: Bench, silicon_work: Workplace) -> None:
    models = "no_floor or other_soc or other_mode or cleared"
    args = [*silicon_work.args, *bench.args(bench.silicon), "--strict"]
    strict = bench.run([*args, "-m", f"perf and ({models})"])
    assert strict.outcomes() == {
        "test_rate[cleared-hybrid]": "passed",
        "test_rate[no_floor-hybrid]": "error",
        "test_rate[other_mode-hybrid]": "skipped",
        "test_rate[other_soc-hybrid]": "error",
    }
    assert "no floor for SM8750" in strict.tests["test_rate[other_soc-hybrid]"].message
    assert "without --strict" in strict.tests["test_rate[other_soc-hybrid]"].message
    assert strict.exit_status == 1


@pytest.mark.parametrize(
    ("counts_as", "status", "outcome", "said"),
    [
        ("inconclusive", 75, "skipped", "1 inconclusive"),
        ("fail", 1, "failed", "(--inconclusive=fail)"),
        ("xfail", 0, "skipped", "1 xfailed"),
        ("pass", 0, "passed", "1 passed"),
    ],
)
def test_undecided_rate_counts_as_asked(
    bench: Bench,
    silicon_work: Workplace,
    counts_as: str,
    status: int,
    outcome: str,
    said: str,
) -> None:
    args = [*silicon_work.args, *bench.args(bench.silicon), "-m", "perf and undecided"]
    done = bench.run([*args, f"--inconclusive={counts_as}"])
    assert done.exit_status == status
    assert said in done.output
    test = done.tests["test_rate[undecided-kv]"]
    assert test.outcome == outcome
    if counts_as == "inconclusive":
        assert test.properties["failure.class"] == test.kind == "inconclusive"
        assert "1 clean repeats of at least 5: the time for repeats is over" in test.message


def test_simulated_rates_are_shown_and_never_judged(bench: Bench, tmp_path: Path) -> None:
    work = _write_models(Workplace(tmp_path / "work"), "simulator")
    args = [*work.args, *bench.args(bench.simulated), "-m", "perf and (too_slow or cleared)"]
    done = bench.run(args)
    assert set(done.outcomes().values()) == {"skipped"}
    assert done.exit_status == 0
    message = done.tests["test_rate[too_slow-hybrid]"].message
    assert "60.0 tok/s is simulated: the floor 80 tok/s for SM8750 is for silicon" in message
    assert "60.0*" in done.output
    assert "* simulated" in done.output
