"""InternVL3 made small: tokenizer, geometry and image processor of `internvl3_tiny`.

The token ids follow Qwen2's order: bytes and merges first, then the special tokens, those of
the pictures last.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    Qwen2Config,
    Qwen2Tokenizer,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from training.family import CONTEXT_TOKENS, IMAGE_TOKENS, PATCH_SIZE, SCALE_FACTOR, TinyFamily
from training.pictures import PICTURE_SIZE
from training.tokenizer import VOCAB_SIZE, train_bpe

IMAGE_TOKEN = "<IMG_CONTEXT>"
START_TOKEN = "<img>"
CLOSE_TOKEN = "</img>"
END_TOKEN = "<|im_end|>"
PAD_TOKEN = "<|endoftext|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SPECIALS = [
    PAD_TOKEN,
    "<|im_start|>",
    END_TOKEN,
    START_TOKEN,
    CLOSE_TOKEN,
    IMAGE_TOKEN,
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<video>",
]


def build_tokenizer() -> Qwen2Tokenizer:
    """Qwen2 type BPE with InternVL's special tokens; `VOCAB_SIZE` tokens in all."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    train_bpe(bpe, VOCAB_SIZE - len(_SPECIALS), [], ["user", "assistant"])
    reserved = VOCAB_SIZE - bpe.get_vocab_size() - len(_SPECIALS)
    bpe.add_special_tokens([*(f"<|reserved_{i}|>" for i in range(reserved)), *_SPECIALS])
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=bpe,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        unk_token=PAD_TOKEN,
        extra_special_tokens={
            "start_image_token": START_TOKEN,
            "end_image_token": CLOSE_TOKEN,
            "context_image_token": IMAGE_TOKEN,
            "video_token": "<video>",
        },
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_config(tokenizer: Qwen2Tokenizer) -> InternVLConfig:
    """InternVL3-1B's configuration with everything made smaller; float32, untied head."""
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        rms_norm_eps=1e-6,
        rope_theta=100_000.0,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = InternVLVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        attention_bias=True,
        image_size=PICTURE_SIZE,
        patch_size=PATCH_SIZE,
        layer_scale_init_value=1.0,
    )
    return InternVLConfig(
        text_config=text,
        vision_config=vision,
        downsample_ratio=1 / SCALE_FACTOR,
        image_seq_length=IMAGE_TOKENS,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        tie_word_embeddings=False,
        dtype="float32",
    )


def build_image_processor() -> GotOcr2ImageProcessorPil:
    """One tile of 64 x 64, values in [-1, 1]."""
    return GotOcr2ImageProcessorPil(
        crop_to_patches=False,
        do_convert_rgb=True,
        do_normalize=True,
        do_rescale=True,
        do_resize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        min_patches=1,
        max_patches=12,
        resample=3,
        rescale_factor=1 / 255,
        size={"height": PICTURE_SIZE, "width": PICTURE_SIZE},
    )


def _see(model: Any, pixels: torch.Tensor) -> tuple[Any, torch.Tensor]:
    seen = model.model.get_image_features(pixels, return_dict=True)
    return seen, seen.pooler_output.flatten(0, 1)


FAMILY = TinyFamily(
    name="internvl3",
    model_class=InternVLForConditionalGeneration,
    image_processor_class=GotOcr2ImageProcessorPil,
    build_tokenizer=build_tokenizer,
    build_config=build_config,
    build_image_processor=build_image_processor,
    image_token=IMAGE_TOKEN,
    end_token=END_TOKEN,
    picture_text=START_TOKEN + IMAGE_TOKEN * IMAGE_TOKENS + CLOSE_TOKEN,
    reply_prefix="",
    see=_see,
    matrix_names=(".layers.", ".layer.", "multi_modal_projector"),
    nested_pictures=False,
)
