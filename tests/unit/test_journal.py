"""The journal, what is proposed from it, and what is told of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import jsonschema
import pytest

from harness.cli import main
from harness.errors import InputError
from harness.journal import (
    Context,
    Record,
    SampleRecord,
    VerdictRecord,
    append_record,
    blot_out_secrets,
    journal_schema,
    read_journal,
)
from harness.levels import last_change
from harness.night import summarize
from harness.suggest import suggest, t99

RATE = "decode_tokens_per_s"
ROOT = Path(__file__).parents[2]
PHONE = Context(
    model="toy", mode="kv", soc="SM8750", serial="X1", max_seq_len=128, target="silicon",
    backend="qnn", simulated=False,
)  # fmt: skip
SPEC = """\
# a comment that stays
schema: 1
model: toy
floors:
  - {metric: decode_tokens_per_s, mode: kv, max_seq_len: 128, sm8650_token_rate: 40}  # SM8650 first
  - metric: decode_tokens_per_s
    mode: hybrid   # another mode
    max_seq_len: 128
    sm8750_token_rate: 44
"""


def make_record(night: int, rate: float = 50.0, outcome: str = "pass", **changes: object) -> Record:
    """One night's check of a rate."""
    judged = "fail" if outcome == "fail" else "pass"
    sentence = f"decode {rate:.1f} tok/s against the floor"
    record = Record(
        schema_version=1,
        run_id=f"run{night}",
        at=f"2026-11-{night:02d}T01:00:00+00:00",
        git_commit=f"c{night}",
        harness_version="0.1.0",
        test="tests/device/test_models.py::test_rate[toy-kv]",
        outcome=outcome,  # type: ignore[arg-type]
        failure_class="perf" if outcome == "fail" else None,
        message="",
        duration_s=1.0,
        context=PHONE,
        metrics={RATE: rate},
        samples=[SampleRecord({RATE: rate}), SampleRecord({RATE: 1.0}, throttled=True)],
        verdicts=[VerdictRecord(judged, "perf", sentence)],
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def write(path: Path, records: Sequence[Record]) -> Path:
    for record in records:
        append_record(path, record)
    return path


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "journal.jsonl", [make_record(1), make_record(2)])
    read = list(read_journal(path))
    assert [json.dumps(asdict(record)) for record in read] == [
        json.dumps(asdict(make_record(night))) for night in (1, 2)
    ]


def test_lines_keep_the_published_schema(tmp_path: Path) -> None:
    assert (ROOT / "specs/journal.schema.json").read_text() == journal_schema()
    line = write(tmp_path / "j", [make_record(1)]).read_text()
    schema = json.loads(journal_schema())
    jsonschema.validate(json.loads(line), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(line), "outcome": "green"}, schema)


def test_line_cut_off_at_the_end_is_passed_over_and_another_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "j", [make_record(1)])
    whole = path.read_text()
    path.write_text(whole + whole[:50])
    assert len(list(read_journal(path))) == 1
    path.write_text("{}\n" + whole)
    with pytest.raises(InputError, match="line 1 is no record"):
        list(read_journal(path))


def test_secrets_of_the_environment_never_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", 'hf_very"secret')
    leaky = replace(make_record(1), message='403 for hf_very"secret')
    text = write(tmp_path / "j", [leaky]).read_text()
    assert "secret" not in text
    assert json.loads(text)["message"] == "403 for ***"
    assert blot_out_secrets("a path", {"PATH": "a path", "MY_SECRET": "a"}) == "a path"


def test_suggested_floor_lies_below_every_night_and_shows_the_noise() -> None:
    (suggestion,) = suggest(make_record(n, rate) for n, rate in enumerate((50, 51, 49, 50.5), 1))
    assert 44 < suggestion.bound < 49
    assert suggestion.median == 50.25
    assert "spread between nights 1.7 %" in str(suggestion)


def test_two_nights_and_simulated_ones_suggest_nothing() -> None:
    assert suggest([make_record(1), make_record(2)]) == []
    simulated = replace(PHONE, simulated=True)
    assert suggest(make_record(night, context=simulated) for night in range(1, 9)) == []


def test_quantiles_between_two_rows_are_those_of_the_fewer_degrees() -> None:
    assert t99(11) == t99(10)
    assert t99(500) == t99(60)
    assert t99(2) > t99(3)


def test_patch_changes_one_value_and_keeps_comments_and_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/toy.yaml").write_text(SPEC)
    path = write(tmp_path / "j", [make_record(n, 50 + n / 10) for n in range(1, 6)])
    assert main(["suggest-thresholds", str(path), "--specs", str(tmp_path / "specs")]) == 0
    told = capsys.readouterr().out
    assert "# toy-kv on SM8750: floor 4" in told
    changed = [line for line in told.splitlines() if line[:1] in "+-" and line[:3] not in "+++---"]
    assert len(changed) == 2
    assert changed[1].startswith(changed[0].replace("-", "+", 1).partition("}")[0])
    assert "sm8750_token_rate: 4" in changed[1]
    assert changed[1].endswith("# SM8650 first")


def test_journal_without_nights_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "j", [make_record(1)])
    assert main(["suggest-thresholds", str(path)]) == 1
    assert "no phone has repeats from 3 nights" in capsys.readouterr().err


def test_summary_tells_what_failed_since_when_by_how_much_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nights = [make_record(night, 50 + night % 3 / 10) for night in range(1, 6)]
    nights += [make_record(night, 44 + night % 3 / 10, "fail") for night in range(6, 9)]
    path = write(tmp_path / "j", nights)
    assert main(["night-summary", str(path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("night of 2026-11-08 01:00 UTC, commit c8: 1 fail")
    assert "FAIL test_rate[toy-kv] on SM8750, X1" in told
    assert "decode 44.2 tok/s against the floor" in told
    assert "since 2026-11-06 01:00 (3 nights); it last passed 2026-11-05 01:00" in told
    assert "changed by -12.0 % at 2026-11-06 01:00 (commit c6)" in told
    assert len(told.splitlines()) < 10


def test_summary_of_a_good_night_is_two_lines() -> None:
    assert summarize([make_record(1, 50.0, "fail"), make_record(2)])[1:] == ["nothing failed"]


def test_tests_that_fail_alike_are_told_together() -> None:
    def missing(night: int, case: str) -> Record:
        test = f"tests/device/test_models.py::test_answer[big-kv-{case}]"
        told = {"test": test, "metrics": {}, "verdicts": [], "message": "no checkpoint\n  hint: x"}
        return make_record(night, outcome="compile", **told)

    nights = [missing(night, case) for night in (1, 2) for case in ("cat", "dog", "rocket", "sea")]
    assert summarize(nights)[1:] == [
        "COMPILE test_answer[big-kv-cat], test_answer[big-kv-dog], test_answer[big-kv-rocket] "
        "and 1 more on SM8750, X1",
        "    no checkpoint",
        "    hint: x",
        "    since 2026-11-01 01:00 (2 nights); it never passed in this journal",
    ]


def test_tests_that_the_night_before_ran_and_this_one_did_not_are_named() -> None:
    other = "tests/device/test_models.py::test_size[toy-kv]"
    told = summarize([make_record(1), make_record(1, test=other), make_record(2)])
    assert told[1:] == [
        "NOT RUN, though the night of 2026-11-01 01:00 did: test_size[toy-kv]",
        "nothing failed",
    ]


def test_nights_that_skipped_a_test_or_did_not_reach_its_phone_are_told_right() -> None:
    lost = replace(PHONE, soc=None, serial=None)
    nights = [
        make_record(1),
        make_record(2, outcome="skip"),
        make_record(3, outcome="infra", context=lost, verdicts=[], message="no phone is free"),
        make_record(4, 40.0, "fail"),
    ]
    told = summarize(nights)
    assert told[-1] == "    since 2026-11-03 01:00 (2 nights); it last passed 2026-11-01 01:00"


def test_more_than_a_minute_of_findings_is_cut_and_says_so() -> None:
    tests = [f"x::test_rate[m{index}-kv]" for index in range(25)]
    told = summarize(make_record(1, float(30 + i), "fail", test=t) for i, t in enumerate(tests))
    assert sum(line.startswith("FAIL") for line in told) == 20
    assert told[-1] == "and 5 more findings: see the session's output"


def test_summary_without_the_extra_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    nights = [make_record(night, 50) for night in range(1, 6)]
    nights += [make_record(night, 44, "fail") for night in range(6, 9)]
    told = summarize(nights)
    assert "since 2026-11-06 01:00 (3 nights)" in told[3]
    assert told[-1].endswith("that needs pip install 'vlm-device-harness[night]'")
    assert not [line for line in told if "changed by" in line]


def test_steady_and_noisy_series_have_no_change() -> None:
    assert last_change([50.0] * 10) is None
    assert last_change([50, 55, 48, 53, 47, 52, 56, 49, 51, 50]) is None
    assert last_change([50, 45, 45]) is None


def test_change_is_found_with_its_size_and_of_several_the_last() -> None:
    assert last_change([50, 50.1, 49.9, 50, 45, 45.1, 44.9, 45]) == (
        4,
        pytest.approx(-0.1, abs=0.002),
    )
    up_and_down = [50, 50.1, 49.9, 50, 55, 55.1, 54.9, 55, 50, 50.1, 49.9, 50.1]
    assert last_change(up_and_down) == (8, pytest.approx(-0.091, abs=0.002))
    assert last_change([60.0] * 70 + up_and_down) == (78, pytest.approx(-0.091, abs=0.002))


def test_change_of_another_phone_or_of_a_simulator_is_none() -> None:
    for other in (replace(PHONE, serial="X2"), replace(PHONE, simulated=True)):
        nights = [make_record(night, 50, context=other) for night in range(1, 6)]
        nights += [make_record(night, 44, "fail") for night in range(6, 9)]
        assert not [line for line in summarize(nights) if "changed by" in line]
