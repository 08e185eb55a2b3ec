from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bundle import load_bundle
from harness.dram_share import impossible_floors, share_of_bound
from harness.manifest import Manifest, MethodFacts
from harness.roofline import dram_bounds
from harness.socs import find_soc
from harness.spec import Spec
from harness.verdict import Phone, judge_bounds

READ = {
    "kv_forward": 400_000_000,
    "prefill_forward": 600_000_000,
    "tok_embedding_kv_forward": 20_000_000,
    "tok_embedding_prefill_forward": 100_000_000,
}


@pytest.fixture
def manifest(make_bundle: Callable[..., Path], tmp_path: Path) -> Manifest:
    """Graphs whose traffic is `READ`, and 4 MB written by each."""
    plain = load_bundle(make_bundle(tmp_path / "bundle")).manifest

    def with_methods(component: str, names: tuple[str, ...]) -> object:
        facts = {name: MethodFacts(1, 1, READ[name], 4_000_000) for name in names}
        return replace(plain.components[component], methods=facts)

    names = tuple(READ)
    return replace(
        plain,
        components={
            **plain.components,
            "text_decoder": with_methods("text_decoder", names[:2]),
            "tok_embedding": with_methods("tok_embedding", names[2:]),
        },
    )


def test_dram_bounds_hybrid_divide_bandwidth_by_the_step(manifest: Manifest) -> None:
    bounds = dram_bounds(manifest, find_soc("SM8750"), "hybrid")
    assert bounds["decode_tokens_per_s"] == pytest.approx(84.8e9 / 428e6)
    assert bounds["prefill_tokens_per_s"] == pytest.approx(32 * 84.8e9 / 708e6)
    assert bounds["e2e_tokens_per_s"] == bounds["decode_tokens_per_s"]


def test_dram_bounds_kv_prefills_token_by_token(manifest: Manifest) -> None:
    bounds = dram_bounds(manifest, find_soc("SM8650"), "kv")
    assert bounds["prefill_tokens_per_s"] == bounds["decode_tokens_per_s"]


def test_dram_bounds_lookahead_has_none_for_decoding(manifest: Manifest) -> None:
    assert "decode_tokens_per_s" not in dram_bounds(manifest, find_soc("SM8750"), "lookahead")


def test_dram_bounds_unknown_traffic_gives_none(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = load_bundle(make_bundle(tmp_path / "bundle")).manifest
    assert dram_bounds(manifest, find_soc("SM8750"), "hybrid") == {}


def test_dram_bounds_unknown_bandwidth_gives_none(manifest: Manifest) -> None:
    soc = replace(find_soc("SM8750"), dram_gb_per_s=None)
    assert dram_bounds(manifest, soc, "hybrid") == {}


def test_share_of_bound_is_a_percentage_behind_the_rate() -> None:
    bounds = {"decode_tokens_per_s": 125.4}
    assert share_of_bound(51.4, "decode_tokens_per_s", bounds) == ", 41 % of the DRAM bound"
    assert share_of_bound(51.4, "ttft_ms", bounds) == ""


def test_impossible_floors_names_a_floor_above_the_bound(spec: Spec) -> None:
    (first, *_) = spec.floors
    value = first.value_for("SM8650")
    assert value is not None
    (sentence,) = impossible_floors([first], "SM8650", {first.metric: value - 1})
    assert "no run can clear it" in sentence
    assert str(first.place) in sentence
    assert impossible_floors([first], "SM8650", {first.metric: value}) == []


def test_judge_bounds_shows_the_share_of_the_dram_bound(spec: Spec) -> None:
    (first, *_) = spec.floors
    phone = Phone("SM8650", dram_bounds={first.metric: 160.0})
    (verdict,) = judge_bounds([first], phone, first.holds_for, {first.metric: 64.0})
    assert "64.0 tok/s, 40 % of the DRAM bound, is 28 % above" in verdict.sentence
