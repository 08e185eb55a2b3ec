"""Text decoder with explicit KV cache inputs and outputs, all shapes static.

One class serves Llama (SmolVLM), Qwen2 (biases on q, k, v) and Qwen3 (norms on q and k).
It is written in the narrow form that the Qualcomm backend's multi-head to single-head pass
accepts: 1x1 convolutions for every projection, `view` + `transpose` into heads, KV heads
repeated by `expand` + `reshape`, one softmax. Other forms of the same arithmetic fall out
of the delegate or take several times longer to lower.

The graph of one module depends on AR only through shapes, so that the prefill (AR = N) and
decode (AR = 1) exports of the same object have the same nodes, names and parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from models.errors import ModelError

MASKED = -255.0
"""Additive mask value of a position that must not be seen; visible ones get 0.0.

exp(-255) is 0 in float32, and with 16 bits over [-255, 0] one step is still 0.004."""


@dataclass(frozen=True)
class DecoderConfig:
    """Geometry and options of a text decoder.

    `context_length` is the number of positions a query can see, itself included: the
    cache inputs hold `context_length - AR` of them.
    """

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    ffn_dim: int
    vocab_size: int
    context_length: int
    norm_eps: float
    rope_theta: float
    qkv_bias: bool = False
    qk_norm: bool = False


class Attention(nn.Module):
    """Grouped-query attention over the cache and the AR current tokens.

    The query weights come with the attention scale folded in (see `models.decoder_weights`).
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.n_kv_heads = config.n_kv_heads
        self.head_dim = config.head_dim
        q_dim = config.n_heads * config.head_dim
        kv_dim = config.n_kv_heads * config.head_dim
        self.q = nn.Conv2d(config.dim, q_dim, 1, bias=config.qkv_bias)
        self.k = nn.Conv2d(config.dim, kv_dim, 1, bias=config.qkv_bias)
        self.v = nn.Conv2d(config.dim, kv_dim, 1, bias=config.qkv_bias)
        self.o = nn.Conv2d(q_dim, config.dim, 1, bias=False)
        norms = config.qk_norm
        self.q_norm = nn.RMSNorm(config.head_dim, config.norm_eps) if norms else nn.Identity()
        self.k_norm = nn.RMSNorm(config.head_dim, config.norm_eps) if norms else nn.Identity()

    def forward(
        self,
        x: torch.Tensor,  # (1, AR, dim)
        rope: tuple[torch.Tensor, torch.Tensor],  # 2 x (1, 1, AR, head_dim)
        mask: torch.Tensor,  # (1, 1, AR, CL)
        cache: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(1, AR, dim), new K (1, n_kv, head_dim, AR), new V (1, n_kv, AR, head_dim).

        `cache` is K (1, n_kv, head_dim, CL - AR) and V (1, n_kv, CL - AR, head_dim).
        """
        channels = _to_channels(x)
        q = self.q_norm(_split_heads(self.q(channels), self.n_heads))
        k = self.k_norm(_split_heads(self.k(channels), self.n_kv_heads))
        new_v = _split_heads(self.v(channels), self.n_kv_heads)
        q = _rotate(q, rope)
        new_k = _rotate(k, rope).transpose(2, 3)

        group = self.n_heads // self.n_kv_heads
        keys = _repeat_heads(torch.cat([cache[0], new_k], dim=3), group)  # (1, H, head_dim, CL)
        values = _repeat_heads(torch.cat([cache[1], new_v], dim=2), group)  # (1, H, CL, head_dim)
        weights = torch.softmax(q @ keys + mask, dim=-1)  # (1, H, AR, CL)
        heads = (weights @ values).transpose(1, 2)  # (1, AR, H, head_dim)
        merged = heads.reshape(1, x.shape[1], 1, -1).transpose(1, 3)
        return _from_channels(self.o(merged)), new_k, new_v


class FeedForward(nn.Module):
    """Gated feed-forward, (1, AR, dim) -> (1, AR, dim)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate = nn.Conv2d(config.dim, config.ffn_dim, 1, bias=False)
        self.up = nn.Conv2d(config.dim, config.ffn_dim, 1, bias=False)
        self.down = nn.Conv2d(config.ffn_dim, config.dim, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = _to_channels(x)
        return _from_channels(self.down(F.silu(self.gate(channels)) * self.up(channels)))


class DecoderLayer(nn.Module):
    """Pre-norm attention and feed-forward with residuals."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(
        self,
        x: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        cache: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        attended, new_k, new_v = self.attention(self.attention_norm(x), rope, mask, cache)
        x = x + attended
        return x + self.ffn(self.ffn_norm(x)), new_k, new_v


class TextDecoder(nn.Module):
    """Hidden states in, logits and the new KV entries out.

    Call and export it with the flat tensors of `example_inputs`; the outputs are flat too:
    logits (1, AR, vocab), then per layer new K (1, n_kv, head_dim, AR), then per layer
    new V (1, n_kv, AR, head_dim), all float32.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([DecoderLayer(config) for _ in range(config.n_layers)])
        self.norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.head = nn.Conv2d(config.dim, config.vocab_size, 1, bias=False)
        cos, sin = rope_tables(config)
        self.register_buffer("rope_cos", cos)
        self.register_buffer("rope_sin", sin)

    def forward(
        self,
        hidden_states: torch.Tensor,  # (1, AR, dim) float32
        attention_mask: torch.Tensor,  # (1, 1, AR, CL) float32, 0 visible, MASKED otherwise
        pos_ids: torch.Tensor,  # (1, AR) int32
        *caches: torch.Tensor,  # n_layers x K, then n_layers x V
    ) -> tuple[torch.Tensor, ...]:
        n_layers = self.config.n_layers
        rope = (self.rope_cos[pos_ids].unsqueeze(1), self.rope_sin[pos_ids].unsqueeze(1))
        x = hidden_states
        new_ks, new_vs = [], []
        pairs = zip(caches[:n_layers], caches[n_layers:], strict=True)
        for layer, cache in zip(self.layers, pairs, strict=True):
            x, new_k, new_v = layer(x, rope, attention_mask, cache)
            new_ks.append(new_k)
            new_vs.append(new_v)
        logits = _from_channels(self.head(_to_channels(self.norm(x))))
        return (logits, *new_ks, *new_vs)

    def example_inputs(self, ar_len: int) -> tuple[torch.Tensor, ...]:
        """Inputs of the shapes to export with: an empty cache, a causal mask, zeros.

        Raises:
            ModelError: `ar_len` is not in 1..context_length - 1.
        """
        c = self.config
        if not 1 <= ar_len < c.context_length:
            raise ModelError(f"AR length {ar_len}", f"1..{c.context_length - 1}")
        past = c.context_length - ar_len
        return (
            torch.zeros(1, ar_len, c.dim),
            attention_mask(ar_len, c.context_length, n_past=0),
            torch.arange(ar_len, dtype=torch.int32)[None],
            *(torch.zeros(1, c.n_kv_heads, c.head_dim, past) for _ in range(c.n_layers)),
            *(torch.zeros(1, c.n_kv_heads, past, c.head_dim) for _ in range(c.n_layers)),
        )


def attention_mask(ar_len: int, context_length: int, n_past: int) -> torch.Tensor:
    """Mask (1, 1, AR, CL) float32 for AR tokens that follow `n_past` cached ones.

    The first CL - AR columns are the cache, filled from index 0; the last AR columns are
    the tokens themselves, causal.
    """
    mask = torch.full((1, 1, ar_len, context_length), MASKED)
    mask[..., :n_past] = 0.0
    mask[..., context_length - ar_len :] = torch.full((ar_len, ar_len), MASKED).triu(1)
    return mask


def rope_tables(config: DecoderConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of position x frequency, each (CL, head_dim) float32, for `_rotate`.

    Both halves have the same angles; the sine of the first half is negated.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(
        torch.arange(config.context_length, dtype=torch.float32),
        1.0 / config.rope_theta**exponents,
    )
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


def _to_channels(x: torch.Tensor) -> torch.Tensor:
    """(1, AR, dim) -> (1, dim, 1, AR)."""
    return x.reshape(1, x.shape[1], 1, x.shape[2]).transpose(1, 3)


def _from_channels(x: torch.Tensor) -> torch.Tensor:
    """(1, dim, 1, AR) -> (1, AR, dim)."""
    return x.transpose(1, 3).reshape(1, x.shape[3], x.shape[1])


def _split_heads(x: torch.Tensor, n_heads: int) -> torch.Tensor:
    """(1, H * head_dim, 1, AR) -> (1, H, AR, head_dim)."""
    rows = x.permute(0, 3, 1, 2)  # (1, AR, H * head_dim, 1)
    return rows.view(1, rows.shape[1], n_heads, rows.shape[2] // n_heads).transpose(1, 2)


def _repeat_heads(x: torch.Tensor, group: int) -> torch.Tensor:
    """(1, n_kv, a, b) -> (1, n_kv * group, a, b), each head `group` times in a row."""
    if group == 1:
        return x
    _, n_kv, a, b = x.shape
    return x[:, :, None].expand(1, n_kv, group, a, b).reshape(1, n_kv * group, a, b)


def _rotate(x: torch.Tensor, rope: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary position embedding of (1, H, AR, head_dim), halves paired as transformers does.

    The sign of transformers' `rotate_half` is in the sine table: six nodes, not nine.
    """
    cos, sin = rope
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    return x * cos + swapped * sin
