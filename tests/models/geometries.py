"""Small random checkpoints of the real classes: geometries, weights, tokenizers, folders."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from training import internvl, smolvlm

Kind = Literal["smolvlm", "idefics3", "internvl_qwen2", "internvl_qwen3"]
KINDS: tuple[Kind, ...] = ("smolvlm", "idefics3", "internvl_qwen2", "internvl_qwen3")

_ROWS_AND_COLS = tuple(f"<row_{row}_col_{col}>" for row in range(1, 6) for col in range(1, 6))
_SMOLVLM_SPECIALS = {
    "bos_token": "<|im_start|>",
    "eos_token": "<end_of_utterance>",
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
}
_INTERNVL_SPECIALS = {
    "eos_token": "<|im_end|>",
    "context_image_token": "<IMG_CONTEXT>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "video_token": "<video>",
}
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCAB_SIZE = 300


@dataclass(frozen=True)
class Geometry:
    """What varies among the random checkpoints; `options` are the vision config's."""

    kind: Kind = "smolvlm"
    dim: int = 128
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 32
    ffn_dim: int = 160
    rope_theta: float = 100_000.0
    norm_eps: float = 1e-5
    tied: bool = False
    image_size: int = 64
    patch_size: int = 8
    scale_factor: int = 2
    options: tuple[tuple[str, Any], ...] = ()
    seed: int = 0

    @property
    def family(self) -> str:
        return "internvl3" if self.kind.startswith("internvl") else "smolvlm"

    @property
    def id(self) -> str:
        heads = f"{self.n_heads}of{self.n_kv_heads}x{self.head_dim}"
        image = f"{self.image_size}by{self.patch_size}by{self.scale_factor}"
        return f"{self.kind}-{self.dim}d-{heads}-{image}" + ("-tied" if self.tied else "")


def drawn_geometry(kind: Kind, seed: int) -> Geometry:
    """A geometry decided by the seed."""
    draw = random.Random(f"{kind} {seed}")
    n_kv_heads = draw.choice((1, 2))
    n_heads = n_kv_heads * draw.choice((1, 2, 3))
    # Qwen2 has heads of width dim / heads, the others of any.
    head_dim = draw.choice((16, 24, 32))
    dim = n_heads * (head_dim if kind == "internvl_qwen2" else draw.choice((16, 20, 40)))
    patch_size, scale_factor = draw.choice((4, 8)), draw.choice((1, 2, 4))
    options = {
        "use_qk_norm": draw.random() < 0.5,
        "attention_bias": draw.random() < 0.5,
        "norm_type": draw.choice(("layer_norm", "rms_norm")),
        "use_mean_pooling": draw.random() < 0.5,
    }
    return Geometry(
        kind,
        dim=dim,
        n_layers=draw.choice((2, 3)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        ffn_dim=draw.choice((40, 96)),
        rope_theta=draw.choice((10_000.0, 1_000_000.0)),
        norm_eps=draw.choice((1e-5, 1e-6)),
        tied=draw.random() < 0.5,
        image_size=patch_size * 8,
        patch_size=patch_size,
        scale_factor=2 if kind.startswith("internvl") else scale_factor,
        options=tuple(options.items()) if kind.startswith("internvl") else (),
        seed=seed,
    )


GEOMETRIES = (
    Geometry(),
    # head_dim is not dim / heads, no grouping, and 25 patches per side, where transformers'
    # position buckets are not 0..N-1.
    Geometry(dim=64, n_heads=2, head_dim=48, norm_eps=1e-6, image_size=100, patch_size=4,
             scale_factor=5, seed=2),
    # What the published InternVL checkpoints have.
    Geometry("internvl_qwen2", options=(("attention_bias", True),), seed=3),
    *(drawn_geometry(kind, seed=1) for kind in KINDS),
)  # fmt: skip


def noise_picture(width: int, height: int, seed: int) -> Image.Image:
    """A picture in which every pixel matters."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.frombytes("RGB", (width, height), pixels.numpy().tobytes())


def save_checkpoint(geometry: Geometry, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a whole checkpoint of random weights."""
    tokenizer = random_tokenizer(geometry)
    random_model(geometry, tokenizer).to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _image_processor(geometry).save_pretrained(folder)


def random_tokenizer(geometry: Geometry) -> PreTrainedTokenizerFast:
    """Bytes as tokens, then the family's special tokens."""
    is_smolvlm = geometry.family == "smolvlm"
    names = _SMOLVLM_SPECIALS if is_smolvlm else _INTERNVL_SPECIALS
    added = [*names.values(), *(_ROWS_AND_COLS if is_smolvlm else ("<|im_start|>",))]
    backend = Tokenizer(BPE({char: i for i, char in enumerate(BYTES)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(added)
    own = {"bos_token", "eos_token"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{name: token for name, token in names.items() if name in own},
        extra_special_tokens={name: token for name, token in names.items() if name not in own},
    )
    tokenizer.chat_template = (smolvlm if is_smolvlm else internvl).CHAT_TEMPLATE
    return tokenizer


def random_model(geometry: Geometry, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Weights large enough that attention, positions and norms matter in the logits."""
    config_class, model_class = {
        "smolvlm": (SmolVLMConfig, SmolVLMForConditionalGeneration),
        "idefics3": (Idefics3Config, Idefics3ForConditionalGeneration),
    }.get(geometry.kind, (InternVLConfig, InternVLForConditionalGeneration))
    particular = (
        {"scale_factor": geometry.scale_factor}
        if geometry.family == "smolvlm"
        else {"downsample_ratio": 1 / geometry.scale_factor}
    )
    image_token = "<image>" if geometry.family == "smolvlm" else "<IMG_CONTEXT>"
    config = config_class(
        text_config=_text_config(geometry, tokenizer.eos_token_id),
        vision_config=_vision_config(geometry),
        image_token_id=tokenizer.convert_tokens_to_ids(image_token),
        tie_word_embeddings=geometry.tied,
        **particular,
    )
    model = model_class(config).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    generator = torch.Generator().manual_seed(geometry.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1 and "position" not in name and "cls" not in name:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif parameter.dim() > 1:
                parameter.copy_(0.5 * noise)
            else:
                is_scale = "lambda" in name or ("norm" in name and name.endswith("weight"))
                parameter.copy_(0.2 * noise + is_scale)
    return model


def _text_config(geometry: Geometry, stop_token_id: int) -> dict[str, Any]:
    text = {
        "model_type": geometry.kind.removeprefix("internvl_"),
        "hidden_size": geometry.dim,
        "num_hidden_layers": geometry.n_layers,
        "num_attention_heads": geometry.n_heads,
        "num_key_value_heads": geometry.n_kv_heads,
        "intermediate_size": geometry.ffn_dim,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 1024,
        "rms_norm_eps": geometry.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": geometry.rope_theta},
        "eos_token_id": stop_token_id,
        "tie_word_embeddings": geometry.tied,
    }
    if geometry.family == "smolvlm":
        text["model_type"] = "llama"
    if geometry.kind != "internvl_qwen2":
        text["head_dim"] = geometry.head_dim
    return text


def _vision_config(geometry: Geometry) -> dict[str, Any]:
    return {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": geometry.image_size,
        "patch_size": geometry.patch_size,
        **dict(geometry.options),
    }


def _image_processor(geometry: Geometry) -> Any:
    """Up to four tiles in a row, and values of another range than the usual one."""
    size = geometry.image_size
    if geometry.family == "internvl3":
        return GotOcr2ImageProcessorPil(
            size={"height": size, "width": size},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            max_patches=6,
        )
    return SmolVLMImageProcessorPil(
        size={"longest_edge": 4 * size},
        max_image_size={"longest_edge": size},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
