"""kv, hybrid and lookahead give the same replies on the simulated HTP, up to ties."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.device import Device
from harness.report import Turn
from harness.runs import CaseRun
from harness.runtime import Runtime

sys.path.insert(0, str(Path(__file__).parent))
from agreement import (
    COUNTS,
    KV_CACHE_BITS,
    MODES,
    Combination,
    combinations,
    conversations_of,
    kv_build_of,
)
from laboratory import ENCODINGS, MODELS, Build, Laboratory, first_difference, steps_apart

TIE_STEPS = 2
EVERY = combinations()


def facets(combination: Combination) -> dict[str, object]:
    """What combinations differ in."""
    counts = {"n_turns": combination.n_turns, "n_images": combination.n_images}
    return {**vars(combination.graphs), **counts}


def kv_build(combination: Combination) -> Build:
    """Where mode `kv` is run."""
    return kv_build_of(combination.graphs, {each.graphs.build for each in EVERY})


@pytest.fixture(scope="module")
def laboratory(
    phone: Device, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Laboratory:
    folder = tmp_path_factory.mktemp("pictures")
    made = Laboratory(phone, runtime, lambda spec: conversations_of(spec, folder))
    made.compile_all(build for each in EVERY for build in (each.graphs.build, kv_build(each)))
    return made


@pytest.fixture
def both(laboratory: Laboratory, combination: Combination) -> tuple[CaseRun, CaseRun]:
    """The conversation in mode `kv`, and in the combination's."""
    graphs = combination.graphs
    alone = laboratory.run(kv_build(combination), "kv", combination.conversation)
    return alone, laboratory.run(graphs.build, graphs.mode, combination.conversation)


def test_default_combinations_cover_every_pair() -> None:
    values: dict[str, tuple[Any, ...]] = {
        "model": MODELS,
        "encodings": ENCODINGS,
        "kv_cache_bits": KV_CACHE_BITS,
        "mode": MODES,
        "n_turns": COUNTS,
        "n_images": COUNTS,
    }
    for first, second in itertools.combinations(values, 2):
        seen = {(facets(each)[first], facets(each)[second]) for each in EVERY}
        assert seen == set(itertools.product(values[first], values[second])), (first, second)


@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_modes_reply_alike_but_for_ties(
    combination: Combination, both: tuple[CaseRun, CaseRun], record_property: Any
) -> None:
    alone, other = (run.report.measured[0].turns for run in both)
    assert len(alone) == len(other) == combination.n_turns
    for number, (one, two) in enumerate(zip(alone, other, strict=True)):
        assert one.prompt_tokens == two.prompt_tokens
        if one.generated_token_ids != two.generated_token_ids:
            parted = where_they_part(number, one, two)
            record_property("parted", parted)
            print(f"{combination}: {parted}")
            assert max(parted["steps"]) <= TIE_STEPS, parted
            return  # what follows another reply is another conversation


@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_both_saw_the_whole_conversation(
    combination: Combination, both: tuple[CaseRun, CaseRun]
) -> None:
    for run in both:
        turns = run.report.measured[0].turns
        assert sum(len(turn.timestamps_ns.images) for turn in turns) == combination.n_images
        assert all(turn.generated_token_ids for turn in turns)
    last = both[1].turn
    separate = combination.graphs.encodings == "separate"
    assert (last.requantized_entries > 0) == separate
    assert (last.lookahead is not None) == (combination.graphs.mode == "lookahead")


def test_conversations_are_answered_differently(laboratory: Laboratory) -> None:
    # Guards the tests above: a model that always says the same would prove nothing.
    replies = {
        (each.graphs.model, each.conversation): laboratory.run(
            kv_build(each), "kv", each.conversation
        ).replies
        for each in EVERY
    }
    assert len(set(replies.values())) > len(replies) * 3 // 4, replies


def where_they_part(number: int, one: Turn, two: Turn) -> dict[str, Any]:
    """Turn, position, and steps between the two best logits there in either."""
    position = first_difference(one, two)
    steps = [steps_apart(turn, position) for turn in (one, two)]
    return {"turn": number, "position": position, "steps": steps}
