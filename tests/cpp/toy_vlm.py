"""A vision-language model of a few hundred weights that keeps the PTE contract on the CPU.

Its three PTEs run on ExecuTorch's own kernels, so the runner can be tested without QNN. The
answer depends on every cached entry (two attention layers, positions enter through a learned
table), so a cache that is filled, moved or requantised wrongly changes the tokens.
`reference_tokens` runs the same modules in PyTorch, with a cache written independently of
the runner's.

    python toy_vlm.py VARIANT FOLDER

writes the PTEs of a variant, pixels, and `expected.json` with prompts and their answers, so
that the tests themselves need not import torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

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


def quantise(x: Tensor, encoding: Encoding, dtype: torch.dtype) -> Tensor:
    return torch.ops.quantized_decomposed.quantize_per_tensor(
        x, encoding.scale, encoding.zero_point, 0, QUANT_MAX[dtype], dtype
    )


def dequantise(x: Tensor, encoding: Encoding, dtype: torch.dtype) -> Tensor:
    return torch.ops.quantized_decomposed.dequantize_per_tensor(
        x, encoding.scale, encoding.zero_point, 0, QUANT_MAX[dtype], dtype
    )


class VisionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * IMAGE_SIDE * IMAGE_SIDE, IMAGE_TOKENS * DIM)

    def forward(self, pixels: Tensor) -> Tensor:  # (1, 3, H, W) -> (1, T, dim)
        flat = pixels.reshape(1, 3 * IMAGE_SIDE * IMAGE_SIDE)
        return torch.tanh(self.project(flat)).reshape(1, IMAGE_TOKENS, DIM)


class TokenEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, DIM)

    def forward(self, ids: Tensor) -> Tensor:  # (1, AR) int32 -> (1, AR, dim)
        return self.table(ids)


class Decoder(nn.Module):
    """Float arithmetic; what crosses the boundary is quantised if the spec says so."""

    def __init__(self, spec: ToySpec) -> None:
        super().__init__()
        self.positions = nn.Embedding(spec.context_length, DIM)
        self.q = nn.ModuleList(nn.Linear(DIM, HEADS * HEAD_DIM) for _ in range(LAYERS))
        self.k = nn.ModuleList(nn.Linear(DIM, KV_HEADS * HEAD_DIM) for _ in range(LAYERS))
        self.v = nn.ModuleList(nn.Linear(DIM, KV_HEADS * HEAD_DIM) for _ in range(LAYERS))
        self.o = nn.ModuleList(nn.Linear(HEADS * HEAD_DIM, DIM) for _ in range(LAYERS))
        self.head = nn.Linear(DIM, VOCAB)

    def attend(self, layer: int, x: Tensor, mask: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(1, AR, dim) attends to key (1, n_kv, hd, CL) and value (1, n_kv, CL, hd)."""
        width = x.shape[1]
        query = self.q[layer](x).reshape(1, width, HEADS, HEAD_DIM).transpose(1, 2)
        shared = HEADS // KV_HEADS
        key = key.repeat_interleave(shared, dim=1)
        value = value.repeat_interleave(shared, dim=1)
        weights = torch.softmax(torch.matmul(query, key) + mask, dim=-1)
        mixed = torch.matmul(weights, value).transpose(1, 2)
        return self.o[layer](mixed.reshape(1, width, HEADS * HEAD_DIM))


class DecoderGraph(nn.Module):
    """One method: the shared weights with one graph's encodings."""

    def __init__(
        self, decoder: Decoder, spec: ToySpec, keys: Sequence[Encoding], values: Sequence[Encoding]
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.spec = spec
        self.keys = keys
        self.values = values

    def incoming(self, x: Tensor, encoding: Encoding | None) -> Tensor:
        return x if encoding is None else dequantise(x, encoding, self.spec.cache_dtype)

    def outgoing(self, x: Tensor, encoding: Encoding | None) -> Tensor:
        return x if encoding is None else quantise(x, encoding, self.spec.cache_dtype)

    def forward(self, hidden: Tensor, mask: Tensor, positions: Tensor, *caches: Tensor):  # type: ignore[no-untyped-def]
        spec = self.spec
        width = hidden.shape[1]
        if spec.quantised:
            mask = dequantise(mask, spec.mask_encoding, spec.mask_dtype)
        x = hidden + self.decoder.positions(positions)
        new_keys, new_values = [], []
        for layer in range(LAYERS):
            key_encoding = self.keys[layer] if spec.quantised else None
            value_encoding = self.values[layer] if spec.quantised else None
            key = self.decoder.k[layer](x).reshape(1, width, KV_HEADS, HEAD_DIM).permute(0, 2, 3, 1)
            value = self.decoder.v[layer](x).reshape(1, width, KV_HEADS, HEAD_DIM).transpose(1, 2)
            cached_key = self.incoming(caches[layer], key_encoding)
            cached_value = self.incoming(caches[LAYERS + layer], value_encoding)
            x = x + self.decoder.attend(
                layer,
                x,
                mask,
                torch.cat([cached_key, key], dim=-1),
                torch.cat([cached_value, value], dim=2),
            )
            new_keys.append(self.outgoing(key.contiguous(), key_encoding))
            new_values.append(self.outgoing(value.contiguous(), value_encoding))
        logits = self.decoder.head(torch.tanh(x))
        if spec.quantised:
            logits = quantise(logits, spec.logits, torch.uint16)
        return (logits, *new_keys, *new_values)


class ToyVlm:
    """The modules of one spec, with weights from its seed."""

    def __init__(self, spec: ToySpec) -> None:
        self.spec = spec
        torch.manual_seed(spec.seed)
        self.vision_encoder = VisionEncoder().eval()
        self.token_embedding = TokenEmbedding().eval()
        decoder = Decoder(spec).eval()
        for parameter in decoder.parameters():
            parameter.data.mul_(1.5)
        self.decode = DecoderGraph(decoder, spec, spec.decode_keys, spec.decode_values).eval()
        self.prefill = DecoderGraph(decoder, spec, spec.prefill_keys, spec.prefill_values).eval()

    def example_inputs(self, ar_len: int) -> tuple[Tensor, ...]:
        columns = self.spec.context_length - ar_len
        dtype = self.spec.cache_dtype
        return (
            torch.zeros(1, ar_len, DIM),
            torch.zeros(1, 1, ar_len, self.spec.context_length, dtype=dtype),
            torch.zeros(1, ar_len, dtype=self.spec.position_dtype),
            *(torch.zeros(1, KV_HEADS, HEAD_DIM, columns, dtype=dtype) for _ in range(LAYERS)),
            *(torch.zeros(1, KV_HEADS, columns, HEAD_DIM, dtype=dtype) for _ in range(LAYERS)),
        )


def write_program(
    path: Path,
    methods: dict[str, tuple[nn.Module, tuple[Tensor, ...]]],
    constant_methods: dict[str, float | int] | None = None,
    *,
    planned_io: bool = False,
) -> None:
    """Exports `methods` (name -> module, example inputs) into one PTE for ExecuTorch's kernels."""
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.passes import MemoryPlanningPass

    exported = {
        name: torch.export.export(module, inputs, strict=False)
        for name, (module, inputs) in methods.items()
    }
    edge = to_edge(
        exported,
        constant_methods=constant_methods,
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    config = ExecutorchBackendConfig(
        memory_planning_pass=MemoryPlanningPass(
            alloc_graph_input=planned_io, alloc_graph_output=planned_io
        )
    )
    path.write_bytes(edge.to_executorch(config).buffer)


def write_ptes(toy: ToyVlm, folder: Path) -> None:
    """Writes vision_encoder.pte, tok_embedding.pte and text_decoder.pte (both methods)."""
    import executorch.kernels.quantized  # noqa: F401  registers the out variants

    spec = toy.spec
    write_program(
        folder / "vision_encoder.pte",
        {"forward": (toy.vision_encoder, (torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE),))},
        planned_io=spec.planned_io,
    )
    embedding_inputs = {
        "tok_embedding_kv_forward": 1,
        "tok_embedding_prefill_forward": spec.ar_len,
    }
    write_program(
        folder / "tok_embedding.pte",
        {
            name: (toy.token_embedding, (torch.zeros(1, width, dtype=torch.int32),))
            for name, width in embedding_inputs.items()
        },
        planned_io=spec.planned_io,
    )
    constants: dict[str, float | int] = {"get_n_layers": LAYERS, **dict(spec.constant_methods)}
    if spec.quantised:
        constants["get_logits_scale"] = spec.logits.scale
        constants["get_logits_zero_point"] = spec.logits.zero_point
    write_program(
        folder / "text_decoder.pte",
        {
            "kv_forward": (toy.decode, toy.example_inputs(1)),
            "prefill_forward": (toy.prefill, toy.example_inputs(spec.ar_len)),
        },
        constants,
        planned_io=spec.planned_io,
    )


class ReferenceCache:
    """Past K and V as lists of columns, padded to a graph's width when it reads them."""

    def __init__(self, spec: ToySpec) -> None:
        self.spec = spec
        self.keys: list[list[Tensor]] = [[] for _ in range(LAYERS)]  # (1, n_kv, hd, 1) each
        self.values: list[list[Tensor]] = [[] for _ in range(LAYERS)]  # (1, n_kv, 1, hd) each

    def __len__(self) -> int:
        return len(self.keys[0])

    def as_inputs(self, columns: int) -> list[Tensor]:
        dtype = self.spec.cache_dtype
        inputs = []
        for layer in range(LAYERS):
            padding = torch.zeros(1, KV_HEADS, HEAD_DIM, columns - len(self), dtype=dtype)
            inputs.append(torch.cat([*self.keys[layer], padding], dim=-1))
        for layer in range(LAYERS):
            padding = torch.zeros(1, KV_HEADS, columns - len(self), HEAD_DIM, dtype=dtype)
            inputs.append(torch.cat([*self.values[layer], padding], dim=2))
        return inputs

    def append(self, new: Sequence[Tensor], count: int) -> None:
        for layer in range(LAYERS):
            for column in range(count):
                self.keys[layer].append(new[layer][..., column : column + 1])
                self.values[layer].append(new[LAYERS + layer][:, :, column : column + 1])

    def requantise(self) -> None:
        spec = self.spec
        for layer in range(LAYERS):
            for entries, before, after in (
                (self.keys[layer], spec.prefill_keys[layer], spec.decode_keys[layer]),
                (self.values[layer], spec.prefill_values[layer], spec.decode_values[layer]),
            ):
                entries[:] = [requantise_float(entry, before, after) for entry in entries]


def requantise_float(entry: Tensor, before: Encoding, after: Encoding) -> Tensor:
    """The defining formula, in float64."""
    real = (entry.to(torch.int64).to(torch.float64) - before.zero_point) * before.scale
    moved = torch.round(real / after.scale) + after.zero_point
    return moved.clamp(0, QUANT_MAX[entry.dtype]).to(torch.int32).to(entry.dtype)


def reference_mask(spec: ToySpec, ar_len: int, filled: int) -> Tensor:
    mask = torch.full((1, 1, ar_len, spec.context_length), MASKED)
    mask[..., :filled] = 0.0
    current = torch.full((ar_len, ar_len), MASKED).triu(1)
    mask[..., spec.context_length - ar_len :] = current
    return quantise(mask, spec.mask_encoding, spec.mask_dtype) if spec.quantised else mask


def run_reference_step(
    graph: DecoderGraph, cache: ReferenceCache, rows: Tensor, ar_len: int
) -> Tensor:
    """Runs up to ar_len rows (n, dim), stores their K and V, returns the last row's logits."""
    spec = graph.spec
    filled, count = len(cache), rows.shape[0]
    hidden = torch.zeros(1, ar_len, DIM)
    hidden[0, :count] = rows
    positions = torch.arange(filled, filled + ar_len, dtype=spec.position_dtype)[None]
    caches = cache.as_inputs(spec.context_length - ar_len)
    logits, *new = graph(hidden, reference_mask(spec, ar_len, filled), positions, *caches)
    cache.append(new, count)
    return logits[0, count - 1]


@torch.no_grad()
def reference_tokens(
    toy: ToyVlm, ids: Sequence[int], images: Sequence[Tensor], max_new_tokens: int, mode: str
) -> list[int]:
    """Greedy continuation of a prompt, ended by max_new_tokens or a full cache only."""
    spec = toy.spec
    rows = toy.token_embedding(torch.tensor([ids], dtype=torch.int32))[0]
    if images:
        places = [i for i, token in enumerate(ids) if token == IMAGE_TOKEN_ID]
        rows[places] = torch.cat([toy.vision_encoder(image)[0] for image in images])
    cache = ReferenceCache(spec)
    graph, width = (toy.prefill, spec.ar_len) if mode == "hybrid" else (toy.decode, 1)
    logits = torch.empty(0)
    for begin in range(0, len(ids), width):
        logits = run_reference_step(graph, cache, rows[begin : begin + width], width)
    if mode == "hybrid" and spec.quantised:
        cache.requantise()
    tokens = [int(logits.to(torch.float64).argmax())]
    while len(tokens) < max_new_tokens and len(cache) < spec.context_length - 1:
        row = toy.token_embedding(torch.tensor([[tokens[-1]]], dtype=torch.int32))[0]
        tokens.append(int(run_reference_step(toy.decode, cache, row, 1).to(torch.float64).argmax()))
    return tokens


VARIANTS = {
    "float": ToySpec(),
    # Context and prefill width that do not divide, int64 positions, buffers of the PTE's own.
    "planned": ToySpec(
        context_length=23, ar_len=5, position_dtype=torch.int64, planned_io=True, seed=3
    ),
    "uint16_same": quantised_spec(torch.uint16, same_encodings=True),
    "uint16_apart": quantised_spec(torch.uint16, same_encodings=False),
    "uint8_apart": quantised_spec(torch.uint8, same_encodings=False),
}
IMG = IMAGE_TOKEN_ID
PROMPTS: dict[str, list[int]] = {
    "one_token": [3],
    "two_images": [1, IMG, IMG, IMG, 5, 9, IMG, IMG, IMG, 3, 12],
    "one_step": [11, 4, 60, 2, 9, 33, 21, 8],
    "many_steps": [(5 * i + 8) % 60 + 1 if (5 * i + 8) % 60 + 1 != IMG else 0 for i in range(20)],
}


def write_expected(toy: ToyVlm, folder: Path) -> None:
    """Writes pixels_0.bin, pixels_1.bin and the answers of both modes to all prompts."""
    torch.manual_seed(1)
    images = [torch.randn(1, 3, IMAGE_SIDE, IMAGE_SIDE) for _ in range(2)]
    for index, image in enumerate(images):
        image.numpy().tofile(folder / f"pixels_{index}.bin")
    cases = {}
    for name, ids in PROMPTS.items():
        shown = images if IMAGE_TOKEN_ID in ids else []
        cases[name] = {
            "ids": ids,
            "n_images": len(shown),
            "kv": reference_tokens(toy, ids, shown, 100, "kv"),
            "hybrid": reference_tokens(toy, ids, shown, 100, "hybrid"),
        }
    expected = {
        "context_length": toy.spec.context_length,
        "ar_len": toy.spec.ar_len,
        "vocab_size": VOCAB,
        "image_token_id": IMAGE_TOKEN_ID,
        "image_shape": [1, 3, IMAGE_SIDE, IMAGE_SIDE],
        "cache_scalars_per_token": 2 * LAYERS * KV_HEADS * HEAD_DIM,
        "cases": cases,
    }
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def write_odd_decoders(toy: ToyVlm, folder: Path) -> None:
    """Decoders that a runner must refuse, or that serve one mode only."""
    kv_only = {"kv_forward": (toy.decode, toy.example_inputs(1))}
    write_program(folder / "decoder_kv_only.pte", kv_only)
    both = {**kv_only, "prefill_forward": (toy.prefill, toy.example_inputs(toy.spec.ar_len))}
    write_program(folder / "decoder_float_encodings.pte", both, {"get_k_scale_output_0": 1.0})
    toy.decode.decoder.head.bias.data[5] = float("nan")
    write_program(folder / "decoder_nan.pte", {"kv_forward": (toy.decode, toy.example_inputs(1))})


def main(variant: str, folder: Path) -> None:
    toy = ToyVlm(VARIANTS[variant])
    write_ptes(toy, folder)
    write_expected(toy, folder)
    if variant == "float":
        write_odd_decoders(toy, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
