"""SmolVLM made small: tokenizer, geometry and image processor of `smolvlm_tiny`.

The token ids follow SmolVLM's order: the specials of the language model first, then bytes and
merges, then the picture tokens, reserved tokens, and `<end_of_utterance>` as the last id.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Tokenizer,
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from training.family import CONTEXT_TOKENS, IMAGE_TOKENS, PATCH_SIZE, SCALE_FACTOR, TinyFamily
from training.pictures import PICTURE_SIZE
from training.tokenizer import VOCAB_SIZE, train_bpe

IMAGE_TOKEN = "<image>"
FAKE_TOKEN = "<fake_token_around_image>"
GLOBAL_TOKEN = "<global-img>"
END_TOKEN = "<end_of_utterance>"
BOS_TOKEN = "<|im_start|>"
PAD_TOKEN = "<|im_end|>"
UNK_TOKEN = "<|endoftext|>"

CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

_LANGUAGE_SPECIALS = [
    UNK_TOKEN,
    BOS_TOKEN,
    PAD_TOKEN,
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
]
_PICTURE_SPECIALS = [
    GLOBAL_TOKEN,
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
    FAKE_TOKEN,
    IMAGE_TOKEN,
]


def build_tokenizer() -> GPT2Tokenizer:
    """GPT-2 type BPE with SmolVLM's special tokens; `VOCAB_SIZE` tokens in all."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    words = VOCAB_SIZE - len(_PICTURE_SPECIALS) - 1
    train_bpe(bpe, words, _LANGUAGE_SPECIALS, ["User:", "Assistant:"])
    reserved = VOCAB_SIZE - bpe.get_vocab_size() - len(_PICTURE_SPECIALS) - 1
    added = [f"<|reserved_special_token_{i}|>" for i in range(reserved)]
    bpe.add_special_tokens([*_PICTURE_SPECIALS, *added, END_TOKEN])
    tokenizer = GPT2Tokenizer(
        tokenizer_object=bpe,
        bos_token=BOS_TOKEN,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        unk_token=UNK_TOKEN,
        additional_special_tokens=[FAKE_TOKEN, IMAGE_TOKEN, END_TOKEN],
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


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


def _see(model: Any, pixels: torch.Tensor) -> tuple[Any, torch.Tensor]:
    seen = model.model.get_image_features(pixels[:, None], return_dict=True)
    return seen, torch.cat(seen.pooler_output)


FAMILY = TinyFamily(
    name="smolvlm",
    model_class=SmolVLMForConditionalGeneration,
    image_processor_class=SmolVLMImageProcessorPil,
    build_tokenizer=build_tokenizer,
    build_config=build_config,
    build_image_processor=build_image_processor,
    image_token=IMAGE_TOKEN,
    end_token=END_TOKEN,
    picture_text=get_image_prompt_string(
        0,
        0,
        IMAGE_TOKENS,
        fake_token_around_image=FAKE_TOKEN,
        image_token=IMAGE_TOKEN,
        global_image_token=GLOBAL_TOKEN,
    ),
    reply_prefix=" ",
    see=_see,
    matrix_names=(".layers.", "modality_projection"),
    nested_pictures=True,
)
