from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.answers import Reply
from harness.spec import Conditions, Spec, load_spec
from harness.verdict import Phone, Verdict, judge_answer, judge_bounds, judge_sizes

KV_128 = Conditions("kv", 128, "silicon")
SM8750 = Phone("SM8750")


def _judge_rate(
    spec: Spec,
    value: float | None,
    *,
    soc: str = "SM8750",
    conditions: Conditions = KV_128,
    simulated: bool = False,
) -> Verdict:
    metrics = {"e2e_tokens_per_s": value}
    phone = Phone(soc, simulated=simulated)
    (verdict,) = judge_bounds(spec.floors, phone, conditions, metrics)
    return verdict


def test_judge_bounds_below_the_floor_fails_in_words_a_stranger_understands(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.path.parent.parent)
    verdict = _judge_rate(spec, 41.2)
    assert (verdict.outcome, verdict.kind) == ("fail", "perf")
    assert verdict.sentence == (
        "end-to-end 41.2 tok/s is 25 % below the floor 55 tok/s for SM8750 "
        "(metric e2e_tokens_per_s, kv, max_seq_len 128, silicon, qnn; specs/tiny.yaml:18)"
    )


@pytest.mark.parametrize(
    ("value", "outcome", "comparison"),
    [
        (54.999, "fail", "0.002 % below"),
        (54.9, "fail", "0.2 % below"),
        (55.0, "pass", "equal to"),
        (60.0, "pass", "9.1 % above"),
        (110.0, "pass", "100 % above"),
        (0.0, "fail", "100 % below"),
    ],
)
def test_judge_bounds_at_the_floor(spec: Spec, value: float, outcome: str, comparison: str) -> None:
    verdict = _judge_rate(spec, value)
    assert verdict.outcome == outcome
    assert f"is {comparison} the floor" in verdict.sentence


def test_judge_bounds_no_floor_for_this_soc_skips_and_says_so(spec: Spec) -> None:
    verdict = _judge_rate(spec, 1.0, soc="SM8850")
    assert (verdict.outcome, verdict.reason) == ("skip", "no_threshold")
    assert "no floor for SM8850" in verdict.sentence
    assert "SM8650, SM8750" in verdict.sentence


def test_judge_bounds_no_floor_at_all_skips_and_says_so() -> None:
    (verdict,) = judge_bounds((), SM8750, KV_128, {})
    assert (verdict.outcome, verdict.reason) == ("skip", "no_threshold")


def test_judge_bounds_simulated_skips_with_that_reason(spec: Spec) -> None:
    verdict = _judge_rate(spec, 1.0, simulated=True)
    assert (verdict.outcome, verdict.reason) == ("skip", "simulated")
    assert verdict.sentence.startswith("1.0 tok/s is simulated")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"mode": "hybrid"}, "mode is hybrid, not kv"),
        ({"max_seq_len": 1024}, "max_seq_len is 1024, not 128"),
        ({"target": "simulator"}, "target is simulator, not silicon"),
        ({"backend": "xnnpack"}, "backend is xnnpack, not qnn"),
    ],
)
def test_judge_bounds_other_conditions_skip_and_say_which(
    spec: Spec, changes: dict[str, str], difference: str
) -> None:
    verdict = _judge_rate(spec, 1.0, conditions=replace(KV_128, **changes))  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == ("skip", "other_conditions")
    assert difference in verdict.sentence


def test_judge_bounds_undefined_metric_is_inconclusive_never_a_pass(spec: Spec) -> None:
    verdict = _judge_rate(spec, None)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "undefined")


def test_judge_bounds_gives_one_verdict_per_floor(spec: Spec) -> None:
    floor = replace(spec.floors[0], metric="decode_tokens_per_s")
    metrics = {"e2e_tokens_per_s": 60.0, "decode_tokens_per_s": 50.0}
    verdicts = judge_bounds((*spec.floors, floor), SM8750, KV_128, metrics)
    assert [verdict.outcome for verdict in verdicts] == ["pass", "fail"]
    assert verdicts[1].sentence.startswith("decode 50.0 tok/s is 9.1 % below")


CEILING = (
    "text_decoder_pte_size_bytes: 1000}",
    "text_decoder_pte_size_bytes: 1000}\n"
    "  - {metric: ttft_ms, mode: kv, max_seq_len: 128, sm8750_ttft_ms: 800,"
    " per_serial: {R5CT: 900}}",
)


@pytest.mark.parametrize(
    ("serial", "value", "outcome"),
    [(None, 800.0, "pass"), (None, 801.0, "fail"), ("R5CT", 850.0, "pass"), ("X", 850.0, "fail")],
)
def test_judge_bounds_ceiling_of_a_metric_and_of_a_phone(
    write_spec: Callable[..., Path], serial: str | None, value: float, outcome: str
) -> None:
    ceilings = load_spec(write_spec(CEILING)).metric_ceilings
    (verdict,) = judge_bounds(ceilings, Phone("SM8750", serial), KV_128, {"ttft_ms": value})
    assert verdict.outcome == outcome
    assert "the ceiling" in verdict.sentence


SIZES = {"vision_encoder": 1, "tok_embedding": 1, "text_decoder": 1000}


def test_judge_sizes_at_the_ceiling_passes(spec: Spec) -> None:
    (verdict,) = judge_sizes(spec.size_ceilings, KV_128, SIZES)
    assert (verdict.outcome, verdict.kind) == ("pass", "size")


def test_judge_sizes_above_the_ceiling_fails_and_says_by_how_much(spec: Spec) -> None:
    (verdict,) = judge_sizes(spec.size_ceilings, KV_128, {**SIZES, "text_decoder": 1500})
    assert verdict.outcome == "fail"
    assert verdict.sentence.startswith(
        "text_decoder PTE of 1,500 bytes is 50 % above the ceiling 1,000 bytes (kv, "
    )


def test_judge_sizes_other_conditions_skip(spec: Spec) -> None:
    (verdict,) = judge_sizes(spec.size_ceilings, replace(KV_128, mode="hybrid"), SIZES)
    assert (verdict.outcome, verdict.reason) == ("skip", "other_conditions")


def test_judge_sizes_no_ceiling_skips() -> None:
    (verdict,) = judge_sizes((), KV_128, SIZES)
    assert (verdict.outcome, verdict.reason) == ("skip", "no_threshold")


def test_judge_sizes_component_that_is_not_there_fails(spec: Spec) -> None:
    (verdict,) = judge_sizes(spec.size_ceilings, KV_128, {"vision_encoder": 1})
    assert verdict.outcome == "fail"


def test_judge_answer_right_reply_passes(spec: Spec) -> None:
    assert judge_answer(spec.cases["blue"], Reply("It is blue.")).outcome == "pass"


def test_judge_answer_wrong_reply_fails_with_what_it_lacks_and_got(spec: Spec) -> None:
    verdict = judge_answer(spec.cases["blue"], Reply("It is green."))
    assert (verdict.outcome, verdict.kind) == ("fail", "accuracy")
    assert "the reply to blue is wrong: it lacks 'blue' (got 'It is green.'" in verdict.sentence
    assert "tiny.yaml:12" in verdict.sentence


def test_judge_answer_empty_reply_fails(spec: Spec) -> None:
    assert judge_answer(spec.cases["blue"], Reply("")).outcome == "fail"


def test_judge_answer_reply_cut_off_says_so(spec: Spec) -> None:
    verdict = judge_answer(spec.cases["blue"], Reply("It is", stop_reason="max_new_tokens"))
    assert "cut off by max_new_tokens" in verdict.sentence


def test_judge_answer_wrong_expectation_turns_a_good_reply_red(
    write_spec: Callable[..., Path],
) -> None:
    wrong = load_spec(write_spec(("all_of: [blue]", "all_of: [purple]")))
    assert judge_answer(wrong.cases["blue"], Reply("It is blue.")).outcome == "fail"
