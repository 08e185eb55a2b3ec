"""The text decoder in the form that a CPU backend runs well.

The same arithmetic, weights, inputs and outputs as `models.decoder.TextDecoder`, written so
that XNNPACK takes the whole graph and moves as little memory as it can:

* `nn.Linear` in place of 1x1 convolutions, which XNNPACK would surround with changes of layout;
* the query heads that share a KV head are rows of one matrix, so K and V are never repeated;
* the cache is read where it lies: the cached and the AR new positions are multiplied apart
  and only their scores, which are small, are put together. Joining the cache with the new
  entries would copy all of it for every token;
* RMSNorm by a matrix product with 1/dim, because XNNPACK has no mean over the last dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.decoder import Attention, DecoderConfig, DecoderLayer, TextDecoder


class CpuNorm(nn.Module):
    """RMSNorm over the last dimension; the mean of the squares is a product with 1/dim."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        dim = norm.normalized_shape[0]
        self.weight = norm.weight
        self.register_buffer("one_over_dim", torch.full((1, dim), 1.0 / dim))
        self.register_buffer("eps", torch.tensor([float(norm.eps or 0.0)]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean_square = F.linear(x * x, self.one_over_dim)  # (..., 1)
        return x * torch.rsqrt(mean_square + self.eps) * self.weight


class CpuAttention(nn.Module):
    """`models.decoder.Attention` with the cache left in place."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.n_heads = attention.n_heads
        self.n_kv_heads = attention.n_kv_heads
        self.head_dim = attention.head_dim
        self.q, self.k, self.v, self.o = (
            _as_linear(conv) for conv in (attention.q, attention.k, attention.v, attention.o)
        )
        self.q_norm, self.k_norm = _cpu_norm(attention.q_norm), _cpu_norm(attention.k_norm)

    def forward(
        self,
        x: torch.Tensor,  # (1, AR, dim)
        rope: tuple[torch.Tensor, torch.Tensor],  # 2 x (1, 1, AR, head_dim)
        mask: torch.Tensor,  # (1, 1, AR, CL)
        cache: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(1, AR, dim), new K (1, n_kv, head_dim, AR), new V (1, n_kv, AR, head_dim).

        `cache` is K (n_kv, head_dim, CL - AR) and V (n_kv, CL - AR, head_dim).
        """
        ar_len, group = x.shape[1], self.n_heads // self.n_kv_heads
        q = _rotate(self.q_norm(self._heads(self.q(x), self.n_heads)), rope)
        k = _rotate(self.k_norm(self._heads(self.k(x), self.n_kv_heads)), rope)
        new_v = self._heads(self.v(x), self.n_kv_heads)
        new_k = k.transpose(2, 3)

        q = q.reshape(self.n_kv_heads, group * ar_len, self.head_dim)
        of_cache = torch.bmm(q, cache[0])  # (n_kv, group * AR, CL - AR)
        of_new = torch.bmm(q, new_k.reshape(self.n_kv_heads, self.head_dim, ar_len))
        scores = torch.cat([of_cache, of_new], dim=2).view(self.n_kv_heads, group, ar_len, -1)
        weights = torch.softmax(scores + mask, dim=-1)
        weights = weights.view(self.n_kv_heads, group * ar_len, -1)  # (n_kv, group * AR, CL)
        past = cache[0].shape[2]
        heads = torch.bmm(weights[:, :, :past], cache[1]) + torch.bmm(
            weights[:, :, past:], new_v.reshape(self.n_kv_heads, ar_len, self.head_dim)
        )
        merged = heads.view(1, self.n_heads, ar_len, self.head_dim).transpose(1, 2)
        return self.o(merged.reshape(1, ar_len, -1)), new_k, new_v

    def _heads(self, x: torch.Tensor, n_heads: int) -> torch.Tensor:
        """(1, AR, H * head_dim) -> (1, H, AR, head_dim)."""
        return x.view(1, x.shape[1], n_heads, self.head_dim).transpose(1, 2)


class CpuDecoderLayer(nn.Module):
    """Pre-norm attention and gated feed-forward with residuals."""

    def __init__(self, layer: DecoderLayer) -> None:
        super().__init__()
        self.attention_norm = CpuNorm(layer.attention_norm)
        self.attention = CpuAttention(layer.attention)
        self.ffn_norm = CpuNorm(layer.ffn_norm)
        self.gate, self.up, self.down = (
            _as_linear(conv) for conv in (layer.ffn.gate, layer.ffn.up, layer.ffn.down)
        )

    def forward(
        self,
        x: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        cache: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        attended, new_k, new_v = self.attention(self.attention_norm(x), rope, mask, cache)
        x = x + attended
        hidden = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(hidden)) * self.up(hidden)), new_k, new_v


class CpuTextDecoder(nn.Module):
    """A `TextDecoder` with its weights, for a CPU; called and exported as that one is.

    The weights are the given decoder's own memory.
    """

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.config: DecoderConfig = decoder.config
        self.layers = nn.ModuleList([CpuDecoderLayer(layer) for layer in decoder.layers])
        self.norm = CpuNorm(decoder.norm)
        self.head = _as_linear(decoder.head)
        self.register_buffer("rope_cos", decoder.rope_cos)
        self.register_buffer("rope_sin", decoder.rope_sin)
        self._example_inputs = decoder.example_inputs
        self.requires_grad_(False).eval()

    def forward(
        self,
        hidden_states: torch.Tensor,  # (1, AR, dim) float32
        attention_mask: torch.Tensor,  # (1, 1, AR, CL) float32, 0 visible, MASKED otherwise
        pos_ids: torch.Tensor,  # (1, AR) int32
        *caches: torch.Tensor,  # n_layers x K, then n_layers x V
    ) -> tuple[torch.Tensor, ...]:
        n_layers = self.config.n_layers
        rope = (
            F.embedding(pos_ids, self.rope_cos).unsqueeze(1),
            F.embedding(pos_ids, self.rope_sin).unsqueeze(1),
        )
        x = hidden_states
        new_ks, new_vs = [], []
        # The batch of one is taken off here, before anything else: see `harness.compile.xnnpack`.
        bare = [cache.view(cache.shape[1:]) for cache in caches]
        pairs = zip(bare[:n_layers], bare[n_layers:], strict=True)
        for layer, cache in zip(self.layers, pairs, strict=True):
            x, new_k, new_v = layer(x, rope, attention_mask, cache)
            new_ks.append(new_k)
            new_vs.append(new_v)
        return (self.head(self.norm(x)), *new_ks, *new_vs)

    def example_inputs(self, ar_len: int) -> tuple[torch.Tensor, ...]:
        """Inputs of the shapes to export with, as `TextDecoder.example_inputs`."""
        return self._example_inputs(ar_len)


def _as_linear(conv: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution over channels as the linear layer it is; the memory is shared."""
    with torch.device("meta"):
        linear = nn.Linear(conv.in_channels, conv.out_channels, bias=conv.bias is not None)
    linear.weight = nn.Parameter(conv.weight.detach().flatten(1), requires_grad=False)
    if conv.bias is not None:
        linear.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return linear


def _cpu_norm(norm: nn.Module) -> nn.Module:
    return CpuNorm(norm) if isinstance(norm, nn.RMSNorm) else norm


def _rotate(x: torch.Tensor, rope: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary position embedding, halves paired; the sine table holds the sign."""
    cos, sin = rope
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    return x * cos + swapped * sin
