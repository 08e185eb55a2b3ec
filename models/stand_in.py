"""A tokenizer for a configuration that came without one.

Random weights know no words, so any vocabulary will do as long as its ids lie where the
configuration says: these are the 256 bytes and the family's special tokens. Prompts have
more ids than with the real tokenizer, and no other shape depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from models.errors import ModelError

_IMAGE_TOKENS = {"smolvlm": "<image>", "internvl3": "<IMG_CONTEXT>"}
_STOP_TOKENS = {"smolvlm": "<end_of_utterance>", "internvl3": "<|im_end|>"}
_OTHER_TOKENS = {
    "smolvlm": ("<|im_start|>", "<fake_token_around_image>", "<global-img>"),
    "internvl3": ("<|im_start|>", "<img>", "</img>"),
}


def stand_in_tokenizer(family: str, image_token_id: int, stop_token_id: int) -> Any:
    """Bytes at ids 0 to 255, then special tokens; two of them where the configuration says.

    Raises:
        ModelError: nobody has written one for the family, or two tokens share an id.
    """
    if family not in _IMAGE_TOKENS:
        known = ", ".join(sorted(_IMAGE_TOKENS))
        raise ModelError(
            f"no tokenizer beside the configuration, and none to stand in for {family!r}",
            f"a tokenizer, or one of {known}",
        )
    others = _OTHER_TOKENS[family]
    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {token: 256 + i for i, token in enumerate(others)}
    placed = {_IMAGE_TOKENS[family]: image_token_id, _STOP_TOKENS[family]: stop_token_id}
    _check_free(placed, 256 + len(others))
    tokenizer = Tokenizer(BPE(vocabulary | placed, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*others, *placed])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_STOP_TOKENS[family],
        extra_special_tokens={"image_token": _IMAGE_TOKENS[family]},
    )


def _check_free(placed: Mapping[str, int], first_free: int) -> None:
    ids = list(placed.values())
    if min(ids) < first_free or len(set(ids)) < len(ids):
        raise ModelError(
            f"special tokens {dict(placed)} in a stand-in tokenizer",
            f"different ids of {first_free} or more",
        )
