"""Parts of static vision encoders: a plain ViT layer in 4-D attention.

transformers' own vision towers do not lower to QNN as they are: they compute position ids
by bucketing, build masks and use `where`. With one picture size all of that is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from models.errors import ModelError

QK_NORM_EPS = 1e-6
"""What transformers' InternVL has by default and configurations do not change."""

_GELU_APPROXIMATION = {"gelu_pytorch_tanh": "tanh", "gelu": "none"}


@dataclass(frozen=True)
class VitConfig:
    """Geometry of a ViT over square pictures of one size.

    `activation` is transformers' name of it. `qk_norm` normalises queries and keys over all
    heads together; `rms_norm` is the kind of the layers' own norms.
    """

    image_size: int  # pixels per side
    patch_size: int  # pixels per side
    n_channels: int
    dim: int
    n_layers: int
    n_heads: int
    ffn_dim: int
    norm_eps: float
    activation: str
    qk_norm: bool = False
    rms_norm: bool = False

    def __post_init__(self) -> None:
        if self.activation not in _GELU_APPROXIMATION:
            known = ", ".join(_GELU_APPROXIMATION)
            raise ModelError(f"vision activation {self.activation!r}", f"one of {known}")
        if self.image_size % self.patch_size:
            raise ModelError(f"image size {self.image_size}", f"a multiple of {self.patch_size}")

    @property
    def patches_per_side(self) -> int:
        return self.image_size // self.patch_size


class VitAttention(nn.Module):
    """Attention of every patch to every patch, (1, N, dim) -> (1, N, dim)."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.scale = (config.dim // config.n_heads) ** -0.5
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        norm = config.qk_norm
        self.q_norm = nn.RMSNorm(config.dim, QK_NORM_EPS) if norm else nn.Identity()
        self.k_norm = nn.RMSNorm(config.dim, QK_NORM_EPS) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self._heads(self.q_norm(self.q(x)))
        k = self._heads(self.k_norm(self.k(x)))
        v = self._heads(self.v(x))
        weights = torch.softmax((q * self.scale) @ k.transpose(2, 3), dim=-1)  # (1, H, N, N)
        return self.o((weights @ v).transpose(1, 2).reshape(x.shape))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(1, N, dim) -> (1, H, N, head_dim)."""
        return x.view(1, x.shape[1], self.n_heads, -1).transpose(1, 2)


class VitLayer(nn.Module):
    """Pre-norm attention and MLP with residuals, (1, N, dim) -> (1, N, dim)."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        norm = nn.RMSNorm if config.rms_norm else nn.LayerNorm
        self.attention_norm = norm(config.dim, config.norm_eps)
        self.attention = VitAttention(config)
        self.ffn_norm = norm(config.dim, config.norm_eps)
        self.up = nn.Linear(config.dim, config.ffn_dim)
        self.down = nn.Linear(config.ffn_dim, config.dim)
        self.gelu_approximation = _GELU_APPROXIMATION[config.activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        hidden = F.gelu(self.up(self.ffn_norm(x)), approximate=self.gelu_approximation)
        return x + self.down(hidden)


def pixel_shuffle(x: torch.Tensor, side: int, factor: int) -> torch.Tensor:
    """Stack each factor x factor block of patches into one channel vector.

    (1, side ** 2, dim) -> (1, (side / factor) ** 2, dim * factor ** 2), in steps of at most
    four dimensions, the most that the backend lays out well.
    """
    dim, blocks = x.shape[-1], side // factor
    x = x.view(1, side, blocks, dim * factor).transpose(1, 2)
    x = x.reshape(1, blocks, blocks, dim * factor**2).transpose(1, 2)
    return x.reshape(1, blocks**2, dim * factor**2)
