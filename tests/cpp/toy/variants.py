"""The toys that tests ask for, their prompts and expected answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.cpp.toy.model import ToyVlm
from tests.cpp.toy.reference import Prompt, reference_replies
from tests.cpp.toy.spec import (
    HEAD_DIM,
    IMAGE_SIDE,
    IMAGE_TOKEN_ID,
    IMAGE_TOKENS,
    KV_HEADS,
    LAYERS,
    VOCAB,
    ToySpec,
    quantised_spec,
    shifted_spec,
)

# For comparing modes: room for three turns, and a decoder for lookahead beside the usual one.
_WIDE: dict[str, Any] = {"context_length": 96, "ar_len": 8, "lookahead": (3, 3, 3), "seed": 5}

VARIANTS = {
    "float": ToySpec(),
    # Context and prefill width that do not divide, int64 positions, buffers of the PTE's own.
    "planned": ToySpec(
        context_length=23, ar_len=5, position_dtype=torch.int64, planned_io=True, seed=3
    ),
    "short": ToySpec(context_length=32, ar_len=8, max_seq_len=20),
    "uint16_same": quantised_spec(torch.uint16, same_encodings=True),
    "uint16_apart": quantised_spec(torch.uint16, same_encodings=False),
    "uint8_apart": quantised_spec(torch.uint8, same_encodings=False),
    "wide_float": ToySpec(**_WIDE),
    "wide_uint16_shared": quantised_spec(torch.uint16, same_encodings=True, **_WIDE),
    "wide_uint16_separate": shifted_spec(torch.uint16, 300, **_WIDE),
    "wide_uint8_shared": quantised_spec(torch.uint8, same_encodings=True, **_WIDE),
    "wide_uint8_separate": shifted_spec(torch.uint8, 5, **_WIDE),
    "repeats": ToySpec(context_length=128, ar_len=8, lookahead=(4, 4, 4), repeats=True),
}
IMG = IMAGE_TOKEN_ID
PICTURE = [IMG] * IMAGE_TOKENS
PROMPTS: dict[str, list[int]] = {
    "one_token": [3],
    "two_images": [1, *PICTURE, 5, 9, *PICTURE, 3, 12],
    "one_step": [11, 4, 60, 2, 9, 33, 21, 8],
    "many_steps": [(5 * i + 8) % 60 + 1 if (5 * i + 8) % 60 + 1 != IMG else 0 for i in range(20)],
}
STOP_TOKEN_ID = 2
REPLY_TOKENS = 9
N_PIXELS = 3


def conversation(n_turns: int, n_images: int) -> list[list[int]]:
    """Prompts of some turns with some pictures, the pictures dealt out one by one."""
    prompts = [[11 + turn, 4, 33 + 2 * turn] for turn in range(n_turns)]
    for image in range(n_images):
        prompts[image % n_turns][1:1] = [*PICTURE, 20 + image]
    return prompts


def pixels() -> list[Tensor]:
    """The pictures, (1, 3, H, W) each."""
    generator = torch.Generator().manual_seed(1)
    shape = (1, 3, IMAGE_SIDE, IMAGE_SIDE)
    return [torch.randn(shape, generator=generator) for _ in range(N_PIXELS)]


def _with_pictures(turns: list[list[int]], images: list[Tensor]) -> list[Prompt]:
    """Deals the pictures out in the order of their placeholders."""
    rest = list(images)
    prompts = []
    for ids in turns:
        count = ids.count(IMG) // IMAGE_TOKENS
        prompts.append(Prompt(ids, rest[:count]))
        rest = rest[count:]
    return prompts


def write_expected(toy: ToyVlm, folder: Path) -> None:
    """Writes pixels_*.bin, and the answers of both modes to all prompts and conversations."""
    images = pixels()
    for index, image in enumerate(images):
        image.numpy().tofile(folder / f"pixels_{index}.bin")
    longest = (toy.spec.max_seq_len or toy.spec.context_length) - 1
    cases = {}
    for name, ids in PROMPTS.items():
        (prompt,) = _with_pictures([ids], images)
        cases[name] = {"ids": ids, "n_images": len(prompt.images)}
        if len(ids) <= longest:
            cases[name] |= {
                mode: reference_replies(toy, [prompt], 100, mode)[0] for mode in ("kv", "hybrid")
            }
    conversations = {}
    if toy.spec.context_length >= _WIDE["context_length"]:
        conversations = {
            f"{n_turns}-{n_images}": _expected_conversation(toy, n_turns, n_images, images)
            for n_turns in (1, 2, 3)
            for n_images in (1, 2, 3)
        }
    expected = {
        "context_length": toy.spec.context_length,
        "ar_len": toy.spec.ar_len,
        "lookahead": toy.spec.lookahead,
        "vocab_size": VOCAB,
        "image_token_id": IMAGE_TOKEN_ID,
        "image_tokens": IMAGE_TOKENS,
        "image_shape": [1, 3, IMAGE_SIDE, IMAGE_SIDE],
        "cache_scalars_per_token": 2 * LAYERS * KV_HEADS * HEAD_DIM,
        "stop_token_id": STOP_TOKEN_ID,
        "reply_tokens": REPLY_TOKENS,
        "cases": cases,
        "conversations": conversations,
    }
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def _expected_conversation(
    toy: ToyVlm, n_turns: int, n_images: int, images: list[Tensor]
) -> dict[str, Any]:
    turns = conversation(n_turns, n_images)
    prompts = _with_pictures(turns, images[:n_images])
    replies = {
        mode: reference_replies(toy, prompts, REPLY_TOKENS, mode, [STOP_TOKEN_ID])
        for mode in ("kv", "hybrid")
    }
    return {"turns": turns, **replies}
