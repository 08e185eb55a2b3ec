"""Recipes: what a spec says per component, changes from the command line, limits of a SoC."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InputError, SpecError
from harness.socs import find_soc
from harness.spec import Spec, check_recipe_for_soc, load_spec, override_recipe
from harness.vocabulary import Lookahead

WriteSpec = Callable[..., Path]
SHORT = "recipe: {quantization: 16a8w, kv_cache_bits: 16}"
BLOCK = (
    "recipe: {quantization: 16a4w_block, kv_cache_bits: 8, vision_encoder: {quantization: 8a8w}}"
)


@pytest.fixture
def with_recipe(write_spec: WriteSpec) -> Callable[[str], Spec]:
    return lambda text: load_spec(write_spec((SHORT, text)))


def test_components_own_keys_go_before_common_ones(with_recipe: Callable[[str], Spec]) -> None:
    recipe = with_recipe(
        "recipe: {quantization: 16a8w, observer: histogram, performance_mode: balanced,"
        " text_decoder: {quantization: 16a4w, observer: minmax}}"
    ).recipe
    found = [(r.quantization, r.observer) for r in recipe.components.values()]
    assert found == [("16a8w", "histogram"), ("16a8w", "histogram"), ("16a4w", "minmax")]
    assert {r.performance_mode for r in recipe.components.values()} == {"balanced"}


@pytest.mark.parametrize(
    ("quantization", "bits"), [("fp16", 32), ("8a8w", 8), ("16a8w", 16), ("16a4w_block", 16)]
)
def test_cache_is_as_wide_as_the_activations_unless_said(
    with_recipe: Callable[[str], Spec], quantization: str, bits: int
) -> None:
    recipe = with_recipe(f"recipe: {{quantization: {quantization}}}").recipe
    assert recipe.of("text_decoder").kv_cache_bits == bits
    assert recipe.of("vision_encoder").kv_cache_bits is None


def test_blocks_have_a_size_where_there_are_blocks(with_recipe: Callable[[str], Spec]) -> None:
    recipe = with_recipe(
        "recipe: {quantization: 16a8w, text_decoder: {quantization: 16a4w_block,"
        " exceptions: [{layers: head, quantization: 16a8w}]}}"
    ).recipe
    assert recipe.of("text_decoder").block_size == 32
    assert recipe.of("text_decoder").exceptions[0].block_size is None
    assert recipe.of("vision_encoder").block_size is None


def test_named_set_is_what_is_calibrated_with(write_spec: WriteSpec) -> None:
    path = write_spec()
    text = path.read_text()
    begin, end = text.index("calibration:"), text.index("cases:")
    sets = (
        "calibration_sets:\n"
        "  one: [{image: red.png, prompt: One}]\n"
        "  two: [{image: red.png, prompt: Two}]\n"
        "calibration: two\n"
    )
    (path.parent / "red.png").write_bytes(b"a red picture")
    path.write_text(text[:begin] + sets + text[end:])
    assert [sample.prompt for sample in load_spec(path).calibration] == ["Two"]


def test_lookahead_width_is_the_next_power_of_two() -> None:
    assert Lookahead(window=4, ngram=3, gcap=4).ar_len == 16
    assert Lookahead(window=5, ngram=3, gcap=4).ar_len == 32
    assert Lookahead(window=1, ngram=2, gcap=1).ar_len == 2


def test_override_of_a_quantization_changes_that_component_only(spec: Spec) -> None:
    changed = override_recipe(spec, ["vision_encoder=fp16"])
    assert changed.recipe.of("vision_encoder").quantization == "fp16"
    assert changed.recipe.of("text_decoder") == spec.recipe.of("text_decoder")


def test_override_takes_a_cache_that_no_longer_fits_with_it(spec: Spec) -> None:
    changed = override_recipe(spec, ["text_decoder=8a8w"])
    assert changed.recipe.of("text_decoder").kv_cache_bits == 8
    back = override_recipe(changed, ["text_decoder=16a8w"])
    assert back.recipe.of("text_decoder").kv_cache_bits == 8


def test_override_of_single_keys_and_of_the_performance_mode(spec: Spec) -> None:
    settings = ["text_decoder.kv_cache_bits=8", "performance_mode=balanced"]
    recipe = override_recipe(spec, settings).recipe
    assert recipe.of("text_decoder").kv_cache_bits == 8
    assert {r.performance_mode for r in recipe.components.values()} == {"balanced"}


@pytest.mark.parametrize(
    ("setting", "problem", "expected"),
    [
        ("vision_encoder", "it sets nothing", "COMPONENT=QUANTIZATION"),
        ("vision_encodr=fp16", "no component 'vision_encodr'", "did you mean 'vision_encoder'"),
        ("vision_encoder=fp61", "quantization: Input should be", ""),
        ("vision_encoder.kv_cache_bits=8", "kv_cache_bits: Extra inputs", "quantization"),
        ("text_decoder.kv_cache_bits=32", "16a8w has no 32-bit KV cache", "8 or 16"),
        ("text_decoder.block_size=32", "16a8w has no blocks", "16a4w_block"),
        ("performance_mode=turbo", "'turbo' is not known", "burst"),
    ],
)
def test_override_that_cannot_be_is_an_input_error(
    spec: Spec, setting: str, problem: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        override_recipe(spec, [setting])
    assert caught.value.doing == f"reading --recipe {setting}"
    assert problem in caught.value.problem
    assert expected in (caught.value.expected or "")


@pytest.mark.parametrize(
    ("recipe", "soc", "problems"),
    [
        pytest.param(SHORT, "SM8550", [], id="v73"),
        pytest.param(BLOCK, "SM8450", [], id="blocks-v69"),
        pytest.param("recipe: {quantization: 8a8w}", "SM8350", [], id="8a8w-v68"),
        pytest.param(
            BLOCK, "SM8350", ["16a4w_block needs HTP V69; SM8350 has HTP V68"] * 2, id="blocks-v68"
        ),
        pytest.param(
            "recipe: {quantization: fp16}", "SM8350", ["fp16 needs HTP V69"] * 3, id="fp16-v68"
        ),
        pytest.param(
            SHORT,
            "SM8450",
            ["its attention multiplies matrices", "multiplies by a 16-bit KV cache"],
            id="wide-v69",
        ),
    ],
)
def test_what_a_soc_cannot_run_is_a_spec_error_that_names_it(
    with_recipe: Callable[[str], Spec], recipe: str, soc: str, problems: list[str]
) -> None:
    spec = with_recipe(recipe)
    found: tuple[str, ...] = ()
    try:
        check_recipe_for_soc(spec, find_soc(soc))
    except SpecError as err:
        found = tuple(str(problem) for problem in err.problems)
    assert len(found) == len(problems)
    for text, problem in zip(found, problems, strict=True):
        assert problem in text
        assert soc in text
        assert f"{spec.path}:{spec.recipe.line}" in text


def test_two_graphs_for_silicon_need_weight_sharing(with_recipe: Callable[[str], Spec]) -> None:
    spec = with_recipe("recipe: {quantization: 8a8w}")
    soc = find_soc("SM8450")
    check_recipe_for_soc(spec, soc, ["kv", "hybrid"], "simulator")
    check_recipe_for_soc(spec, soc, ["kv"], "silicon")
    with pytest.raises(
        SpecError, match="mode hybrid lets two graphs share their weights"
    ) as caught:
        check_recipe_for_soc(spec, soc, ["kv", "hybrid"], "silicon")
    assert "SM8450 has V69" in str(caught.value)


def test_example_of_the_document_is_a_recipe(with_recipe: Callable[[str], Spec]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    decoder = with_recipe(example).recipe.of("text_decoder")
    assert decoder.schemes == {"16a4w_block", "16a8w"}
    assert len(decoder.exceptions) == 2


def test_recipes_are_equal_wherever_they_stand(spec: Spec) -> None:
    assert replace(spec.recipe, line=99) == spec.recipe
