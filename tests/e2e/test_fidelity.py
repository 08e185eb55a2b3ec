"""Does the compiled model on the simulated HTP answer as the float model does?"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import pytest

from harness.bundle import Bundle
from harness.device import Device
from harness.report import Turn
from harness.runs import CaseRun, RunRequest, run_case
from harness.runtime import Runtime
from harness.spec import Spec
from harness.vocabulary import Mode

AGREEMENT = 0.95
SQNR_DB = 25.0
TIE_STEPS = 2
MODES: tuple[Mode, ...] = ("kv", "hybrid")

Runs = dict[tuple[str, str], CaseRun]  # (mode, case) -> run


@pytest.fixture(scope="module")
def runs(phone: Device, runtime: Runtime, fresh_bundle: Bundle, fresh_spec: Spec) -> Runs:
    """Every fresh picture in both modes."""
    return {
        (mode, name): run_case(
            phone,
            runtime,
            RunRequest(fresh_bundle, name, mode, case.max_new_tokens, 300.0, record_logits="top2"),
        )
        for mode in MODES
        for name, case in fresh_spec.cases.items()
    }


@pytest.mark.parametrize("mode", ["kv", "hybrid"])
def test_replies_are_the_float_models(mode: str, runs: Runs, fresh_bundle: Bundle) -> None:
    cases = fresh_bundle.manifest.cases
    differing = {
        name: (runs[mode, name].reply, case.reference_text)
        for name, case in cases.items()
        if runs[mode, name].turn.generated_token_ids != case.reference_token_ids
    }
    agreement = 1 - len(differing) / len(cases)
    print(f"{mode}: {agreement:.1%} of {len(cases)} replies are the float model's; {differing}")
    assert agreement >= AGREEMENT, f"{agreement:.1%} agree; (got, float model's): {differing}"


def test_hybrid_and_kv_reply_alike_but_for_ties(
    runs: Runs, fresh_bundle: Bundle, record_property: Any
) -> None:
    parted = {}
    for name in fresh_bundle.manifest.cases:
        kv, hybrid = runs["kv", name].turn, runs["hybrid", name].turn
        if kv.generated_token_ids != hybrid.generated_token_ids:
            position = first_difference(kv, hybrid)
            parted[name] = (position, steps_apart(kv, position), steps_apart(hybrid, position))
    record_property("kv_and_hybrid_part_at", parted)
    print(f"kv and hybrid part in {len(parted)} replies: {parted}")
    wide = {name: where for name, where in parted.items() if max(where[1:]) > TIE_STEPS}
    assert not wide, f"(position, steps in kv, steps in hybrid): {wide}"


def test_each_component_is_close_to_float(fresh_bundle: Bundle) -> None:
    found = {name: part.sqnr_db for name, part in fresh_bundle.manifest.components.items()}
    assert all(sqnr is not None and sqnr >= SQNR_DB for sqnr in found.values()), found


def test_each_method_is_one_delegate_call(fresh_bundle: Bundle) -> None:
    calls = {
        f"{name}.{method}": facts.delegate_calls
        for name, part in fresh_bundle.manifest.components.items()
        for method, facts in part.methods.items()
    }
    assert set(calls) == {
        "vision_encoder.forward",
        "tok_embedding.tok_embedding_kv_forward",
        "tok_embedding.tok_embedding_prefill_forward",
        "text_decoder.kv_forward",
        "text_decoder.prefill_forward",
    }
    assert set(calls.values()) == {1}, calls


def test_dram_traffic_of_the_decoder_is_known(fresh_bundle: Bundle) -> None:
    methods = fresh_bundle.manifest.components["text_decoder"].methods
    weights = fresh_bundle.manifest.files["hybrid_llama_qnn.pte"].size_bytes
    # One token reads the weights of one graph, about half of a PTE of two.
    read_bytes = methods["kv_forward"].dram_read_bytes
    assert read_bytes is not None
    assert 0.3 * weights < read_bytes < 1.5 * weights
    # Both read all weights; the wide graph reads the hidden states of 32 tokens besides.
    wide_bytes = methods["prefill_forward"].dram_read_bytes
    assert wide_bytes is not None
    assert read_bytes < wide_bytes < 1.2 * read_bytes


def test_reports_hold_a_whole_run(runs: Runs) -> None:
    report, turn = runs["hybrid", "fresh_0"].report, runs["hybrid", "fresh_0"].turn
    assert turn.stop_reason == "stop_token"
    assert turn.image_tokens == 16
    assert len(turn.timestamps_ns.images) == 1
    assert len(turn.timestamps_ns.prefill_steps) == -(-turn.prompt_tokens // 32)
    assert turn.requantized_entries == 0
    assert report.memory.peak_rss_bytes > 0


def first_difference(one: Turn, other: Turn) -> int:
    """Position of the first generated token in which two runs differ."""
    pairs = zip_longest(one.generated_token_ids, other.generated_token_ids)
    return next(index for index, (a, b) in enumerate(pairs) if a != b)


def steps_apart(turn: Turn, position: int) -> float:
    """Quantisation steps between the two best logits at one generated token."""
    assert turn.logits is not None
    (_, best), (_, second) = turn.logits.top[position]
    return best - second
