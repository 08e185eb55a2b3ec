"""The model's geometry, and every file of its Hugging Face checkpoint."""

from __future__ import annotations

from pathlib import Path

from transformers import (
    GenerationConfig,
    GPT2Tokenizer,
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig

from training.pictures import PICTURE_SIZE
from training.tokenizer import END_TOKEN, IMAGE_TOKEN

PATCH_SIZE = 8
SCALE_FACTOR = 2
IMAGE_TOKENS = (PICTURE_SIZE // PATCH_SIZE // SCALE_FACTOR) ** 2
CONTEXT_TOKENS = 128


def build_config(tokenizer: GPT2Tokenizer) -> SmolVLMConfig:
    """SmolVLM-500M's configuration with everything made smaller; float32, untied head."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        rms_norm_eps=1e-5,
        rope_theta=100_000.0,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = SmolVLMVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=PICTURE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_act="gelu_pytorch_tanh",
    )
    return SmolVLMConfig(
        text_config=text,
        vision_config=vision,
        scale_factor=SCALE_FACTOR,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        dtype="float32",
    )


def build_image_processor() -> SmolVLMImageProcessorPil:
    """One global image of 64 x 64, no splitting, values in [-1, 1]."""
    return SmolVLMImageProcessorPil(
        do_convert_rgb=True,
        do_image_splitting=False,
        do_normalize=True,
        do_pad=True,
        do_rescale=True,
        do_resize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        max_image_size={"longest_edge": PICTURE_SIZE},
        resample=1,
        rescale_factor=1 / 255,
        size={"longest_edge": PICTURE_SIZE},
    )


def save_checkpoint(
    model: SmolVLMForConditionalGeneration, tokenizer: GPT2Tokenizer, out_dir: Path
) -> None:
    """Write weights, configs, tokenizer, chat template and image processor to `out_dir`."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(END_TOKEN),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out_dir)
    # Batches that were encoded before leave their padding behind, and it would be saved.
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(out_dir)
    build_image_processor().save_pretrained(out_dir)
