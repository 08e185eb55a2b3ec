"""The modules of a toy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.cpp.toy.spec import (
    DIM,
    HEAD_DIM,
    HEADS,
    IMAGE_SIDE,
    IMAGE_TOKENS,
    KV_HEADS,
    LAYERS,
    VOCAB,
    Encoding,
    ToySpec,
    dequantise,
    quantise,
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
            new_keys.append(self.outgoing(key.contiguous(), key_encoding))
            new_values.append(self.outgoing(value.contiguous(), value_encoding))
            # As in a quantised graph, the current tokens are seen as the cache will give them:
            # otherwise it would matter how many tokens share a call.
            keys = [self.incoming(k, key_encoding) for k in (caches[layer], new_keys[-1])]
            values = [
                self.incoming(v, value_encoding) for v in (caches[LAYERS + layer], new_values[-1])
            ]
            x = x + self.decoder.attend(
                layer, x, mask, torch.cat(keys, dim=-1), torch.cat(values, dim=2)
            )
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
        if spec.repeats:
            for silent in (decoder.positions, *decoder.o):
                for parameter in silent.parameters():
                    parameter.data.zero_()
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
