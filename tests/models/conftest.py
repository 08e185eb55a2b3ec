"""Small random checkpoints of the real classes, saved to and loaded from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from models.checkpoint import Checkpoint, load_checkpoint
from models.components import Components, build_components
from models.prompt import Prompt, build_prompt
from models.registry import find_family

CONTEXT_LENGTH = 160

SPECIAL_TOKENS = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
)
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCAB_SIZE = len(BYTES) + len(SPECIAL_TOKENS)
IMAGE_TOKEN_ID = len(BYTES) + SPECIAL_TOKENS.index("<image>")
STOP_TOKEN_ID = len(BYTES) + SPECIAL_TOKENS.index("<end_of_utterance>")


@dataclass(frozen=True)
class Geometry:
    """What varies among the random checkpoints."""

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
    idefics3: bool = False
    seed: int = 0

    @property
    def id(self) -> str:
        heads = f"{self.n_heads}of{self.n_kv_heads}x{self.head_dim}"
        image = f"{self.image_size}by{self.patch_size}by{self.scale_factor}"
        return (
            f"{self.dim}d-{heads}-{image}"
            + ("-tied" if self.tied else "")
            + ("-idefics3" if self.idefics3 else "")
        )


GEOMETRIES = (
    Geometry(),
    Geometry(dim=96, n_layers=3, n_heads=3, n_kv_heads=1, rope_theta=10_000.0, tied=True,
             idefics3=True, seed=1),
    # head_dim is not dim / heads, no grouping, and 25 patches per side, where transformers'
    # position buckets are not 0..N-1.
    Geometry(64, n_heads=2, head_dim=48, norm_eps=1e-6, image_size=100, patch_size=4,
             scale_factor=5, seed=2),
)  # fmt: skip


@pytest.fixture(scope="session", params=GEOMETRIES, ids=lambda geometry: geometry.id)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """A random checkpoint, once per geometry, through the product's own loader."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(request.param, folder)
    return load_checkpoint(find_family("smolvlm"), folder)


@pytest.fixture(scope="session")
def components(checkpoint: Checkpoint) -> Components:
    """The static modules of `checkpoint`, for CONTEXT_LENGTH positions."""
    return build_components(checkpoint, CONTEXT_LENGTH)


@pytest.fixture(scope="session")
def small_components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    """The static modules of one geometry, for what is slow and does not depend on it."""
    folder = tmp_path_factory.mktemp("small")
    save_checkpoint(Geometry(), folder)
    return build_components(load_checkpoint(find_family("smolvlm"), folder), CONTEXT_LENGTH)


@pytest.fixture(scope="session")
def prompt(checkpoint: Checkpoint, components: Components) -> Prompt:
    """A question about two noisy pictures, one wide and one tall."""
    pictures = [noise_picture(70, 40, seed=0), noise_picture(50, 90, seed=1)]
    image_tokens = components.vision_encoder.image_tokens
    return build_prompt(checkpoint, "Which is it?", pictures, image_tokens)


@pytest.fixture
def make_checkpoint_dir(tmp_path: Path) -> Callable[..., Path]:
    """Saves a random checkpoint in a fresh folder, for tests that spoil it."""

    def make(dtype: torch.dtype = torch.float32) -> Path:
        save_checkpoint(Geometry(), tmp_path, dtype)
        return tmp_path

    return make


def noise_picture(width: int, height: int, seed: int) -> Image.Image:
    """A picture in which every pixel matters."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.frombytes("RGB", (width, height), pixels.numpy().tobytes())


def save_checkpoint(geometry: Geometry, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    random_model(geometry).to(dtype).save_pretrained(folder)
    random_tokenizer().save_pretrained(folder)
    SmolVLMImageProcessorPil(
        size={"longest_edge": 4 * geometry.image_size},
        max_image_size={"longest_edge": geometry.image_size},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    ).save_pretrained(folder)


def random_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, then SmolVLM's special tokens."""
    tokenizer = Tokenizer(BPE({char: i for i, char in enumerate(BYTES)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
        },
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def random_model(geometry: Geometry) -> PreTrainedModel:
    """Weights large enough that attention, positions and norms matter in the logits."""
    text = {
        "model_type": "llama",
        "hidden_size": geometry.dim,
        "num_hidden_layers": geometry.n_layers,
        "num_attention_heads": geometry.n_heads,
        "num_key_value_heads": geometry.n_kv_heads,
        "head_dim": geometry.head_dim,
        "intermediate_size": geometry.ffn_dim,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 512,
        "rms_norm_eps": geometry.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": geometry.rope_theta},
        "eos_token_id": STOP_TOKEN_ID,
        "tie_word_embeddings": geometry.tied,
    }
    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": geometry.image_size,
        "patch_size": geometry.patch_size,
    }
    config_class, model_class = (
        (Idefics3Config, Idefics3ForConditionalGeneration)
        if geometry.idefics3
        else (SmolVLMConfig, SmolVLMForConditionalGeneration)
    )
    config = config_class(
        text_config=text,
        vision_config=vision,
        scale_factor=geometry.scale_factor,
        image_token_id=IMAGE_TOKEN_ID,
        tie_word_embeddings=geometry.tied,
    )
    generator = torch.Generator().manual_seed(geometry.seed)
    model = model_class(config).eval()
    model.generation_config.eos_token_id = STOP_TOKEN_ID
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.2 * noise + ("norm" in name and name.endswith("weight")))
    return model
