"""What a session leaves in its journal and in JUnit, also under pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.journal import read_journal

from .sessions import Bench
from .workplace import SILICON_FLOOR, Workplace


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_session_writes_a_record_per_test_with_every_sample(
    bench: Bench, tmp_path: Path, workers: list[str]
) -> None:
    work = Workplace(tmp_path / "work")
    work.write_spec(floors=[{**SILICON_FLOOR, "sm8750_token_rate": 70}])
    work.write_bundle(target="silicon")
    work.write_runtime()
    journal = tmp_path / "journal.jsonl"
    args = [*work.args, *bench.args(bench.silicon), "--journal", str(journal), *workers]
    token = "hf_abcdefghijk"
    done = bench.run(args, environ={"HF_TOKEN": token})
    records = {record.test.rpartition("::")[2]: record for record in read_journal(journal)}
    assert set(records) == set(done.tests), done.output
    rate = records["test_rate[toy-hybrid]"]
    assert (rate.outcome, rate.failure_class) == ("fail", "perf")
    assert [sample.metrics["decode_tokens_per_s"] for sample in rate.samples] == pytest.approx(
        [60.0] * 5
    )
    assert all(sample.readings["before"]["skin_c"] for sample in rate.samples)
    assert rate.context.serial == bench.silicon.serial
    assert rate.context.soc == "SM8750"
    assert "virtual" in (rate.context.android_build or "")
    assert len(rate.context.files_sha256) == 3
    assert rate.verdicts[0].details["floor"] == 70
    assert records["test_answer[toy-hybrid-red]"].outcome == "pass"
    assert len({record.run_id for record in records.values()}) == 1
    assert token not in journal.read_text()
    properties = done.tests["test_rate[toy-hybrid]"].properties
    assert float(properties["decode_tokens_per_s"]) == pytest.approx(60.0)
    assert properties["n_samples"] == "5"
    assert properties["device.serial"] == bench.silicon.serial


def test_test_that_ends_before_its_phone_is_known_says_what_it_was_about(
    bench: Bench, simulated_work: Workplace, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    nowhere = [*simulated_work.args, *bench.adb_args, "--serial", "gone", "--soc", "SM8750"]
    done = bench.run([*nowhere, "--journal", str(journal)])
    assert done.exit_status == 70, done.output
    records = [r for r in read_journal(journal) if r.outcome == "infra"]
    assert len(records) >= 1
    contexts = {(c.model, c.mode, c.soc, c.serial) for c in (r.context for r in records)}
    assert contexts == {("toy", "hybrid", "SM8750", "gone")}
    assert "red" in {record.context.case for record in records}
