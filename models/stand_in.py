"""A tokenizer and picture settings for a configuration that came without them.

Random weights know no words, so any vocabulary will do as long as its ids lie where the
configuration says: these are the 256 bytes, and the family's special tokens. The prompts
have more ids than with the real tokenizer, and no other shape depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from models.errors import ModelError


@dataclass(frozen=True)
class StandIn:
    """What a family's prompts are written with, after its published checkpoints.

    `image_processor` are arguments of the family's processor; `{size}` in them is the side
    of the vision tower's picture.
    """

    image_token: str
    stop_token: str
    other_tokens: tuple[str, ...]
    chat_template: str
    size_arguments: tuple[tuple[str, str], ...]


_SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_INTERNVL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<IMG_CONTEXT>\n{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_STAND_INS: Mapping[str, StandIn] = {
    "smolvlm": StandIn(
        image_token="<image>",
        stop_token="<end_of_utterance>",
        other_tokens=("<|im_start|>", "<fake_token_around_image>", "<global-img>"),
        chat_template=_SMOLVLM_TEMPLATE,
        size_arguments=(("size", "longest_edge"), ("max_image_size", "longest_edge")),
    ),
    "internvl": StandIn(
        image_token="<IMG_CONTEXT>",
        stop_token="<|im_end|>",
        other_tokens=("<|im_start|>", "<img>", "</img>"),
        chat_template=_INTERNVL_TEMPLATE,
        size_arguments=(("size", "height width"),),
    ),
}


def stand_in_of(family: str) -> StandIn:
    """The stand-in of a family.

    Raises:
        ModelError: nobody has written one.
    """
    if family not in _STAND_INS:
        known = ", ".join(sorted(_STAND_INS))
        raise ModelError(
            f"no tokenizer beside the configuration, and none to stand in for {family!r}",
            f"a tokenizer, or one of {known}",
        )
    return _STAND_INS[family]


def stand_in_tokenizer(stand_in: StandIn, image_token_id: int) -> Any:
    """Bytes at ids 0 to 255, the family's special tokens, the image token at its own id."""
    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    others = (stand_in.stop_token, *stand_in.other_tokens)
    vocabulary |= {token: 256 + i for i, token in enumerate(others)}
    vocabulary[stand_in.image_token] = image_token_id
    if len(set(vocabulary.values())) < len(vocabulary):
        raise ModelError(
            f"image_token_id {image_token_id} in a stand-in tokenizer",
            f"{256 + len(others)} or more",
        )
    tokenizer = Tokenizer(BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*others, stand_in.image_token])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=stand_in.stop_token,
        pad_token=stand_in.stop_token,
        extra_special_tokens={"image_token": stand_in.image_token},
    )


def stand_in_image_processor(stand_in: StandIn, processor_class: Any, image_size: int) -> Any:
    """The family's processor with its defaults, for the tower's picture size."""
    arguments = {
        name: dict.fromkeys(keys.split(), image_size) for name, keys in stand_in.size_arguments
    }
    return processor_class(**arguments)
