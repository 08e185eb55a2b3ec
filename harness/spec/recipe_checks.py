"""Rules of a spec's recipe and lookahead section, over the parsed YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.spec.recipe import KV_CACHE_BITS, TEXT_DECODER, allowed_cache_bits, merge_values
from harness.spec.yaml_source import YamlPath, YamlSource
from harness.vocabulary import COMPONENTS, Lookahead

_BLOCK = "16a4w_block"
_BLOCK_SIZES = "a power of two from 16 to 256"


def check_recipe(source: YamlSource) -> None:
    """Combinations of recipe keys that no SoC can run."""
    recipe = source.data.get("recipe")
    if not isinstance(recipe, dict):
        return
    sane = {
        key: value
        for key, value in recipe.items()
        if key not in COMPONENTS or isinstance(value, dict)
    }
    for component in COMPONENTS:
        values = merge_values(sane, component)
        own = sane.get(component, {})

        def at(key: str, own: Any = own, component: str = component) -> YamlPath:
            """Where a value comes from: the component's own section or the common keys."""
            return ("recipe", component, key) if key in own else ("recipe", key)

        quantization = values.get("quantization")
        if quantization is None:
            source.report(
                at("quantization") if own else ("recipe",),
                f"the key 'quantization' is missing for {component}",
                "recipe: {quantization: 16a8w}, or one per component",
            )
            continue
        _check_block_size(source, at("block_size"), quantization, values.get("block_size"))
        _check_observer(source, at("observer"), quantization, values.get("observer"))
        if component == TEXT_DECODER:
            bits = values.get("kv_cache_bits")
            _check_cache_bits(source, at("kv_cache_bits"), quantization, bits)
        _check_exceptions(source, at("exceptions"), quantization, values.get("exceptions"))


def check_lookahead(source: YamlSource, context: int) -> None:
    """The section is there if the mode is, and its graph fits the context."""
    modes, section = source.data.get("modes"), source.data.get("lookahead")
    if isinstance(modes, tuple) and "lookahead" in modes and section is None:
        source.report(
            ("modes", modes.index("lookahead")),
            "the key 'lookahead' is missing",
            "lookahead: {window: W, ngram: N, gcap: G}",
        )
    if isinstance(modes, tuple) and "lookahead" not in modes and section is not None:
        source.report(("lookahead",), "'lookahead' is not one of the modes", key=True)
    numbers = [section.get(k) for k in ("window", "ngram", "gcap")] if _is_map(section) else []
    if len(numbers) == 3 and all(type(n) is int and n > 0 for n in numbers):
        width = Lookahead(*numbers).ar_len
        if width >= context:
            source.report(
                ("lookahead",),
                f"its graph would be {width} tokens wide, next_pow2((window + gcap)(ngram - 1))",
                f"less than the context, {context}",
            )


def _check_block_size(source: YamlSource, path: YamlPath, quantization: Any, size: Any) -> None:
    if type(size) is not int:
        return
    if quantization != _BLOCK:
        if path[1] in COMPONENTS:  # a key for all three is for those that have blocks
            source.report(path, f"{quantization} has no blocks", f"quantization: {_BLOCK}")
    elif size < 16 or size > 256 or size & (size - 1):
        source.report(path, f"{size} is out of range", _BLOCK_SIZES)


def _check_observer(source: YamlSource, path: YamlPath, quantization: Any, observer: Any) -> None:
    if quantization == "fp16" and observer is not None and path[1] in COMPONENTS:
        source.report(path, "fp16 observes nothing", "no observer")


def _check_cache_bits(source: YamlSource, path: YamlPath, quantization: Any, bits: Any) -> None:
    widest = KV_CACHE_BITS.get(quantization) if isinstance(quantization, str) else None
    if widest is None or type(bits) is not int or bits not in KV_CACHE_BITS.values():
        return
    allowed = allowed_cache_bits(quantization)
    if bits not in allowed:
        names = " or ".join(map(str, allowed))
        source.report(path, f"a decoder in {quantization} has no {bits}-bit KV cache", names)


def _check_exceptions(source: YamlSource, path: YamlPath, quantization: Any, given: Any) -> None:
    for index, entry in _mappings(given):
        here = (*path, index)
        pattern, other = entry.get("layers"), entry.get("quantization")
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as err:
                source.report((*here, "layers"), f"not a regular expression: {err}")
        if quantization == "fp16" or other == "fp16":
            problem = "fp16 and quantised layers cannot be mixed"
            source.report((*here, "quantization"), problem, "8a8w, 16a8w, 16a4w or 16a4w_block")
        _check_block_size(source, (*here, "block_size"), other, entry.get("block_size"))


def _mappings(entries: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        if _is_map(entry):
            yield index, entry


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
