"""What a toy answers, by PyTorch and with a cache of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.cpp.toy.model import DecoderGraph, ToyVlm
from tests.cpp.toy.spec import (
    DIM,
    HEAD_DIM,
    IMAGE_TOKEN_ID,
    KV_HEADS,
    LAYERS,
    MASKED,
    QUANT_MAX,
    Encoding,
    ToySpec,
    quantise,
)


@dataclass(frozen=True)
class Prompt:
    """One turn: ids with placeholders, and a picture (1, 3, H, W) for each group of them."""

    ids: Sequence[int]
    images: Sequence[Tensor] = ()


class ReferenceCache:
    """Past K and V as lists of columns, once as each graph reads them."""

    def __init__(self, spec: ToySpec) -> None:
        self.spec = spec
        encodings = {
            "prefill": (*spec.prefill_keys, *spec.prefill_values),
            "decode": (*spec.decode_keys, *spec.decode_values),
        }
        self.encodings: dict[str, tuple[Encoding, ...]] = encodings
        # Per reader and cache: K of all layers (1, n_kv, hd, 1), then V (1, n_kv, 1, hd).
        self.columns: dict[str, list[list[Tensor]]] = {
            reader: [[] for _ in range(2 * LAYERS)] for reader in encodings
        }

    def __len__(self) -> int:
        return len(self.columns["decode"][0])

    def as_inputs(self, reader: str, columns: int) -> list[Tensor]:
        """The first `columns` entries, padded, as the inputs of the graph `reader`."""
        inputs = []
        for index, entries in enumerate(self.columns[reader]):
            seen = entries[:columns]
            axis = 3 if index < LAYERS else 2
            shape = [1, KV_HEADS, HEAD_DIM, HEAD_DIM]
            shape[axis] = columns - len(seen)
            inputs.append(torch.cat([*seen, torch.zeros(shape, dtype=self.spec.cache_dtype)], axis))
        return inputs

    def append(self, writer: str, new: Sequence[Tensor], count: int) -> None:
        """The first `count` columns of a graph's outputs, requantised for the other graph."""
        other = "decode" if writer == "prefill" else "prefill"
        for index, tensor in enumerate(new):
            for column in range(count):
                entry = tensor.narrow(3 if index < LAYERS else 2, column, 1)
                self.columns[writer][index].append(entry)
                if self.spec.quantised:
                    before = self.encodings[writer][index]
                    entry = requantise_float(entry, before, self.encodings[other][index])
                self.columns[other][index].append(entry)


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
    toy: ToyVlm, cache: ReferenceCache, rows: Tensor, *, with_prefill: bool
) -> Tensor:
    """Runs up to a graph's width of rows (n, dim), caches them, returns the last row's logits."""
    spec = toy.spec
    graph: DecoderGraph = toy.prefill if with_prefill else toy.decode
    name, ar_len = ("prefill", spec.ar_len) if with_prefill else ("decode", 1)
    filled, count = len(cache), rows.shape[0]
    hidden = torch.zeros(1, ar_len, DIM)
    hidden[0, :count] = rows
    positions = torch.arange(filled, filled + ar_len, dtype=spec.position_dtype)[None]
    caches = cache.as_inputs(name, spec.context_length - ar_len)
    logits, *new = graph(hidden, reference_mask(spec, ar_len, filled), positions, *caches)
    cache.append(name, new, count)
    return logits[0, count - 1]


def prefill_reference(toy: ToyVlm, cache: ReferenceCache, rows: Tensor, mode: str) -> Tensor:
    """The prefill graph's chunks as long as it sees the whole cache, then one by one."""
    spec = toy.spec
    logits = torch.empty(0)
    done = 0
    while done < rows.shape[0]:
        wide = mode != "kv" and len(cache) <= spec.context_length - spec.ar_len
        count = spec.ar_len if wide else 1
        chunk = rows[done : done + count]
        logits = run_reference_step(toy, cache, chunk, with_prefill=wide)
        done += chunk.shape[0]
    return logits


def prompt_rows(toy: ToyVlm, before: Sequence[int], prompt: Prompt) -> Tensor:
    """Embeddings (n, dim) of the end of the last reply and of a prompt with its pictures."""
    ids = [*before, *prompt.ids]
    rows = toy.token_embedding(torch.tensor([ids], dtype=torch.int32))[0]
    if prompt.images:
        places = [len(before) + i for i, token in enumerate(prompt.ids) if token == IMAGE_TOKEN_ID]
        rows[places] = torch.cat([toy.vision_encoder(image)[0] for image in prompt.images])
    return rows


@torch.no_grad()
def reference_replies(
    toy: ToyVlm,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    mode: str,
    stop_token_ids: Sequence[int] = (),
) -> list[list[int]]:
    """Greedy replies to the turns of a conversation."""
    last_length = (toy.spec.max_seq_len or toy.spec.context_length) - 1
    cache = ReferenceCache(toy.spec)
    before: list[int] = []
    replies = []
    for prompt in prompts:
        logits = prefill_reference(toy, cache, prompt_rows(toy, before, prompt), mode)
        tokens = [int(logits.to(torch.float64).argmax())]
        while (
            tokens[-1] not in stop_token_ids
            and len(tokens) < max_new_tokens
            and len(cache) < last_length
        ):
            row = toy.token_embedding(torch.tensor([[tokens[-1]]], dtype=torch.int32))[0]
            logits = run_reference_step(toy, cache, row, with_prefill=False)
            tokens.append(int(logits.to(torch.float64).argmax()))
        replies.append(tokens)
        before = tokens[-1:]
        if tokens[-1] not in stop_token_ids:
            before += stop_token_ids[:1]
    return replies
