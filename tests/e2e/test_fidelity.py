"""Does the compiled model on the simulated HTP answer as the float model does?"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.device import Device
from harness.runs import CaseRun
from harness.runtime import Runtime

sys.path.insert(0, str(Path(__file__).parent))
from fidelity import (
    COVER,
    MODES,
    Combination,
    combinations,
    comparable_with_kv,
    fresh_folder,
    fresh_spec_of,
)
from laboratory import (
    ENCODINGS,
    LOOKAHEAD_MAX_SEQ_LEN,
    MODELS,
    Laboratory,
    first_difference,
    steps_apart,
)

AGREEMENT = 0.95
SQNR_DB = 25.0
TIE_STEPS = 2
EVERY = combinations()
HYBRID = [c for c in EVERY if c.mode == "hybrid"]


@pytest.fixture(scope="module")
def laboratory(
    phone: Device, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Laboratory:
    root = tmp_path_factory.mktemp("fresh")
    made = Laboratory(
        phone, runtime, lambda spec: fresh_spec_of(spec, fresh_folder(root, spec.model))
    )
    made.compile_all(combination.build for combination in EVERY)
    return made


def runs_of(laboratory: Laboratory, combination: Combination) -> dict[str, CaseRun]:
    """Every fresh picture, by case."""
    return {
        name: laboratory.run(combination.build, combination.mode, name)
        for name in laboratory.spec(combination.model).cases
    }


def test_default_combinations_cover_every_pair() -> None:
    values = {"model": MODELS, "mode": MODES, "encodings": ENCODINGS}
    for first, second in itertools.combinations(values, 2):
        seen = {(getattr(c, first), getattr(c, second)) for c in COVER}
        assert seen == set(itertools.product(values[first], values[second]))


@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_replies_are_the_float_models(combination: Combination, laboratory: Laboratory) -> None:
    runs = runs_of(laboratory, combination)
    cases = laboratory.bundle(combination.build).manifest.cases
    differing = {
        name: (run.reply, cases[name].reference_text)
        for name, run in runs.items()
        if run.turn.generated_token_ids != cases[name].reference_token_ids
    }
    agreement = 1 - len(differing) / len(cases)
    print(f"{combination}: {agreement:.1%} of {len(cases)} replies are float's; {differing}")
    assert agreement >= AGREEMENT, f"{agreement:.1%} agree; (got, float model's): {differing}"
    requantised = combination.encodings == "separate" and combination.mode != "kv"
    assert {run.turn.requantized_entries > 0 for run in runs.values()} == {requantised}
    usable = LOOKAHEAD_MAX_SEQ_LEN if combination.mode == "lookahead" else 128
    seen = {(run.report.context_length, run.report.max_seq_len) for run in runs.values()}
    assert seen == {(128, usable)}


@pytest.mark.parametrize("asked", comparable_with_kv(), ids=str)
def test_modes_reply_alike_but_for_ties(
    asked: Combination, laboratory: Laboratory, record_property: Any
) -> None:
    alone = runs_of(laboratory, replace(asked, mode="kv"))
    other = runs_of(laboratory, asked)
    parted = {}
    for name in alone:
        one, two = alone[name].turn, other[name].turn
        if one.generated_token_ids != two.generated_token_ids:
            position = first_difference(one, two)
            parted[name] = (position, steps_apart(one, position), steps_apart(two, position))
    record_property(f"kv_and_{asked.mode}_part_at", parted)
    print(f"{asked.model}: kv and {asked.mode} part in {len(parted)} replies: {parted}")
    wide = {name: where for name, where in parted.items() if max(where[1:]) > TIE_STEPS}
    assert not wide, f"(position, steps in kv, steps in {asked.mode}): {wide}"


@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_each_component_is_close_to_float(combination: Combination, laboratory: Laboratory) -> None:
    parts = laboratory.bundle(combination.build).manifest.components
    found = {name: part.sqnr_db for name, part in parts.items()}
    assert all(sqnr is not None and sqnr >= SQNR_DB for sqnr in found.values()), found


@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_each_method_is_one_delegate_call(combination: Combination, laboratory: Laboratory) -> None:
    calls = {
        f"{name}.{method}": facts.delegate_calls
        for name, part in laboratory.bundle(combination.build).manifest.components.items()
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


@pytest.mark.parametrize("combination", HYBRID, ids=str)
def test_dram_traffic_of_the_decoder_is_known(
    combination: Combination, laboratory: Laboratory
) -> None:
    manifest = laboratory.bundle(combination.build).manifest
    methods = manifest.components["text_decoder"].methods
    weights = manifest.files["hybrid_llama_qnn.pte"].size_bytes
    # One token reads the weights of one graph, about half of a PTE of two.
    read_bytes = methods["kv_forward"].dram_read_bytes
    assert read_bytes is not None
    assert 0.3 * weights < read_bytes < 1.5 * weights
    # Both read all weights; the wide graph reads the hidden states of 32 tokens besides.
    wide_bytes = methods["prefill_forward"].dram_read_bytes
    assert wide_bytes is not None
    assert read_bytes < wide_bytes < 1.2 * read_bytes


@pytest.mark.parametrize("combination", HYBRID, ids=str)
def test_reports_hold_a_whole_run(combination: Combination, laboratory: Laboratory) -> None:
    run = laboratory.run(combination.build, combination.mode, "fresh_0")
    turn = run.turn
    assert turn.stop_reason == "stop_token"
    assert turn.image_tokens == 16
    assert len(turn.timestamps_ns.images) == 1
    assert len(turn.timestamps_ns.prefill_steps) == -(-turn.prompt_tokens // 32)
    assert run.report.memory.peak_rss_bytes > 0
