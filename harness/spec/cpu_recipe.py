"""Recipes of the CPU backend: the spec's `recipe_xnnpack`.

Names are ExecuTorch's: `8da4w` has weights of 4 bits in blocks of input channels that share a
scale, `8da8w` of 8 bits with a scale per output channel; activations are quantised to 8 bits
when they are known ("d", dynamically), so nothing is calibrated. `fp32` quantises nothing.
The rows of the token embedding have 8 bits in either: they are looked up, not multiplied.
"""

from __future__ import annotations

from typing import Any

from harness.spec.recipe import TEXT_DECODER, ComponentRecipe, Recipe, merge_values
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS

KEY = "recipe_xnnpack"
DEFAULT_CPU_QUANTIZATION = "8da8w"
DEFAULT_CPU_BLOCK_SIZE = 32
"""What XNNPACK's block-wise kernels work in: sizes are multiples of it."""
_BLOCK = "8da4w"


def build_cpu_recipe(section: dict[str, Any], line: int) -> Recipe:
    """The recipe of each component from checked values, with defaults filled in."""
    return Recipe({name: _component(section, name) for name in COMPONENTS}, line)


def check_cpu_recipe(source: YamlSource) -> None:
    """Blocks where there are none, or of a size XNNPACK has no kernel for."""
    recipe = source.data.get(KEY)
    if not isinstance(recipe, dict):
        return
    sections: list[tuple[YamlPath, Any]] = [((KEY,), recipe)]
    sections += [((KEY, name), recipe.get(name)) for name in COMPONENTS]
    for path, section in sections:
        size = section.get("block_size") if isinstance(section, dict) else None
        if type(size) is not int:
            continue
        quantization = section.get("quantization", recipe.get("quantization"))
        # A key for all three is for those that have blocks.
        if len(path) > 1 and quantization != _BLOCK:
            problem = f"{quantization or DEFAULT_CPU_QUANTIZATION} has no blocks"
            source.report((*path, "block_size"), problem, f"quantization: {_BLOCK}")
        elif size <= 0 or size % DEFAULT_CPU_BLOCK_SIZE:
            expected = f"a multiple of {DEFAULT_CPU_BLOCK_SIZE}"
            source.report((*path, "block_size"), f"{size} is out of range", expected)


def _component(section: dict[str, Any], component: str) -> ComponentRecipe:
    values = merge_values(section, component)
    quantization = values.get("quantization", DEFAULT_CPU_QUANTIZATION)
    size = values.get("block_size", DEFAULT_CPU_BLOCK_SIZE)
    return ComponentRecipe(
        quantization=quantization,
        block_size=size if quantization == _BLOCK else None,
        kv_cache_bits=values.get("kv_cache_bits", 32) if component == TEXT_DECODER else None,
        performance_mode="",
    )
