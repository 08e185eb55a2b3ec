"""Recipes: how each component is quantised and compiled. Data only; the compiler acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.vocabulary import COMPONENTS

TEXT_DECODER = "text_decoder"

DEFAULT_BLOCK_SIZE = 32
"""Input channels that share one weight scale in 16a4w_block."""

KV_CACHE_BITS = {"fp16": 32, "8a8w": 8, "16a8w": 16, "16a4w": 16, "16a4w_block": 16}
"""Default width of a KV cache entry at the boundary, which is also the widest there is.

An fp16 graph computes in half precision and, as ExecuTorch's own, has float32 inputs and
outputs. Quantised ones keep the cache in 16 or 8 bit integers."""


def allowed_cache_bits(quantization: str) -> tuple[int, ...]:
    """Widths that the KV cache of a decoder in a quantisation can have."""
    return {"fp16": (32,), "8a8w": (8,)}.get(quantization, (8, 16))


@dataclass(frozen=True)
class LayerException:
    """Layers that are quantised otherwise: those whose module path `layers` finds (re.search)."""

    layers: str
    quantization: str
    block_size: int | None = None


@dataclass(frozen=True)
class ComponentRecipe:
    """How one component is made.

    `quantization` is ExecuTorch's name: activation bits, "a", weight bits, "w". `block_size`
    belongs to 16a4w_block. `kv_cache_bits`, `encodings` ("shared" by all graphs or "separate"
    for each) and `num_shards` (contexts the layers are spread over) belong to the decoder and
    are None elsewhere. `performance_mode` is the HTP's power setting, kept in the PTE; it is
    empty for a CPU.
    """

    quantization: str
    observer: str = "minmax"
    block_size: int | None = None
    exceptions: tuple[LayerException, ...] = ()
    kv_cache_bits: int | None = None
    encodings: str | None = None
    num_shards: int | None = None
    performance_mode: str = "burst"

    @property
    def schemes(self) -> frozenset[str]:
        """Every quantisation that occurs in it."""
        return frozenset({self.quantization, *(e.quantization for e in self.exceptions)})

    def as_dict(self) -> dict[str, Any]:
        """Plain values for manifests and messages, without what does not apply."""
        values = asdict(self)
        values["exceptions"] = [
            {key: value for key, value in exception.items() if value is not None}
            for exception in values["exceptions"]
        ]
        return {key: value for key, value in values.items() if value not in (None, [], "")}


@dataclass(frozen=True)
class Recipe:
    """The recipe of each component; `file` and `line` (from 1) are where it stands."""

    components: Mapping[str, ComponentRecipe]
    line: int = field(default=1, compare=False)
    file: Path | None = field(default=None, compare=False)

    def of(self, component: str) -> ComponentRecipe:
        """The recipe of one component."""
        return self.components[component]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values by component."""
        return {name: self.components[name].as_dict() for name in COMPONENTS}


def merge_values(section: Mapping[str, Any], component: str) -> dict[str, Any]:
    """What a recipe says of one component: its own keys before those for all three.

    Args:
        section: a spec's recipe as plain values; keys that are null count as left out.
    """
    own = section.get(component)
    both = {**section, **{k: v for k, v in own.items() if v is not None}} if own else section
    names = DECODER_KEYS if component == TEXT_DECODER else COMPONENT_KEYS
    return {name: both[name] for name in names if both.get(name) is not None}


COMPONENT_KEYS = ("quantization", "observer", "block_size", "exceptions", "performance_mode")
DECODER_KEYS = (*COMPONENT_KEYS, "kv_cache_bits", "encodings", "num_shards")


def build_component_recipe(values: Mapping[str, Any], component: str) -> ComponentRecipe:
    """The recipe of one component from checked values, with defaults filled in."""
    filled = dict(values)
    exceptions = tuple(
        LayerException(
            entry["layers"],
            entry["quantization"],
            _block_size(entry["quantization"], entry.get("block_size")),
        )
        for entry in filled.pop("exceptions", ())
    )
    quantization = str(filled["quantization"])
    filled["block_size"] = _block_size(quantization, filled.get("block_size"))
    if component == TEXT_DECODER:
        filled.setdefault("kv_cache_bits", KV_CACHE_BITS[quantization])
        filled.setdefault("encodings", "shared")
        filled.setdefault("num_shards", 1)
    return ComponentRecipe(exceptions=exceptions, **filled)


def _block_size(quantization: str, given: int | None) -> int | None:
    if quantization != "16a4w_block":
        return None
    return DEFAULT_BLOCK_SIZE if given is None else given
