"""What a toy is made of, and the arithmetic of its boundary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

DIM = 16
HEADS = 4
KV_HEADS = 2
HEAD_DIM = 4
LAYERS = 2
VOCAB = 61
IMAGE_SIDE = 4
IMAGE_TOKENS = 3
IMAGE_TOKEN_ID = 7

MASKED = -255.0
QUANT_MAX = {torch.uint8: 255, torch.uint16: 65535}


@dataclass(frozen=True)
class Encoding:
    """real = (quantised - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class ToySpec:
    """What is built. `cache_dtype` float32 leaves the whole boundary unquantised."""

    context_length: int = 24
    ar_len: int = 8
    # Window, n-gram length and candidates of a second decoder, for lookahead mode.
    lookahead: tuple[int, int, int] | None = None
    max_seq_len: int | None = None
    # Without attention and positions the next token depends on the last one alone, so that any
    # reply comes round in a circle.
    repeats: bool = False
    cache_dtype: torch.dtype = torch.float32
    position_dtype: torch.dtype = torch.int32
    seed: int = 0
    planned_io: bool = False
    # Encodings of the prefill graph's caches and of the decode graph's, per layer, K and V.
    prefill_keys: tuple[Encoding, ...] = ()
    prefill_values: tuple[Encoding, ...] = ()
    decode_keys: tuple[Encoding, ...] = ()
    decode_values: tuple[Encoding, ...] = ()
    logits: Encoding = field(default=Encoding(0.0004, 30000))
    constant_methods: tuple[tuple[str, float | int], ...] = ()

    @property
    def lookahead_ar_len(self) -> int:
        """The lookahead decoder's tokens per call: rows, rounded up to a power of two."""
        assert self.lookahead is not None
        window, ngram, gcap = self.lookahead
        return 1 << ((window + gcap) * (ngram - 1) - 1).bit_length()

    @property
    def quantised(self) -> bool:
        return self.cache_dtype != torch.float32

    @property
    def mask_dtype(self) -> torch.dtype:
        return self.cache_dtype

    @property
    def mask_encoding(self) -> Encoding:
        top = QUANT_MAX[self.mask_dtype]
        return Encoding(-MASKED / top, top)


def quantised_spec(cache_dtype: torch.dtype, *, same_encodings: bool, **changes: object) -> ToySpec:
    """A spec with a quantised boundary, prefill and decode encoded alike or apart."""
    top = QUANT_MAX[cache_dtype]
    # Wide enough for every entry, or narrow, so that requantising also has to clamp.
    width = 24.0 if same_encodings else 8.0
    decode_keys = tuple(Encoding(width / top, top // 2 + layer) for layer in range(LAYERS))
    decode_values = tuple(Encoding(width / top, top // 2 - layer) for layer in range(LAYERS))
    spec = ToySpec(
        cache_dtype=cache_dtype,
        prefill_keys=decode_keys,
        prefill_values=decode_values,
        decode_keys=decode_keys,
        decode_values=decode_values,
    )
    if not same_encodings:
        spec = replace(
            spec,
            prefill_keys=tuple(Encoding(11.0 / top, top // 3 + layer) for layer in range(LAYERS)),
            prefill_values=tuple(Encoding(5.0 / top, top // 2 + 3) for _ in range(LAYERS)),
        )
        spec = replace(spec, constant_methods=encoding_methods(spec))
    return replace(spec, **changes)  # type: ignore[arg-type]


def encoding_methods(spec: ToySpec) -> tuple[tuple[str, float | int], ...]:
    """The constant methods that tell the runner of differing encodings."""
    methods: list[tuple[str, float | int]] = []
    for kind, prefill, decode in (
        ("k", spec.prefill_keys, spec.decode_keys),
        ("v", spec.prefill_values, spec.decode_values),
    ):
        for layer in range(LAYERS):
            for side, encoding in (("output", prefill[layer]), ("input", decode[layer])):
                methods.append((f"get_{kind}_scale_{side}_{layer}", encoding.scale))
                methods.append((f"get_{kind}_zero_point_{side}_{layer}", encoding.zero_point))
    return tuple(methods)


def shifted_spec(cache_dtype: torch.dtype, shift: int, **changes: object) -> ToySpec:
    """Encodings of one scale, zero points `shift` apart: requantising loses nothing."""
    spec = quantised_spec(cache_dtype, same_encodings=True)
    prefill = {
        name: tuple(Encoding(old.scale, old.zero_point + shift) for old in encodings)
        for name, encodings in (
            ("prefill_keys", spec.decode_keys),
            ("prefill_values", spec.decode_values),
        )
    }
    spec = replace(spec, **prefill)
    return replace(spec, constant_methods=encoding_methods(spec), **changes)


def quantise(x: Tensor, encoding: Encoding, dtype: torch.dtype) -> Tensor:
    return torch.ops.quantized_decomposed.quantize_per_tensor(
        x, encoding.scale, encoding.zero_point, 0, QUANT_MAX[dtype], dtype
    )


def dequantise(x: Tensor, encoding: Encoding, dtype: torch.dtype) -> Tensor:
    return torch.ops.quantized_decomposed.dequantize_per_tensor(
        x, encoding.scale, encoding.zero_point, 0, QUANT_MAX[dtype], dtype
    )
