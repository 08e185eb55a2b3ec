"""Checkpoint and pictures of a job, loaded. Imports torch; compiler processes only."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from harness.compile.job import Conversation, Job
from models.checkpoint import Checkpoint, load_checkpoint
from models.components import Components
from models.generate import float_graphs, greedy_reply
from models.prompt import Prompt, Turn, build_prompts
from models.random_checkpoint import random_checkpoint
from models.registry import find_family


def load(job: Job) -> Checkpoint:
    """The job's checkpoint."""
    if job.random_seed is not None:
        return random_checkpoint(find_family(job.family), Path(job.checkpoint), job.random_seed)
    return load_checkpoint(find_family(job.family), job.checkpoint)


def prompts_of(
    checkpoint: Checkpoint, conversation: Conversation, image_tokens: int
) -> list[Prompt]:
    """The prepared prompts of one conversation, turn by turn."""
    turns = [
        Turn(turn.prompt, tuple(map(_open_picture, turn.images))) for turn in conversation.turns
    ]
    prompts: list[Prompt] = build_prompts(
        checkpoint, turns, image_tokens, conversation.image_splitting
    )
    return prompts


def prompt_of(checkpoint: Checkpoint, conversation: Conversation, image_tokens: int) -> Prompt:
    """The prepared prompt of a conversation's first turn."""
    return prompts_of(checkpoint, conversation, image_tokens)[0]


def prompt_with_reply(
    checkpoint: Checkpoint, components: Components, conversation: Conversation, ar_len: int
) -> tuple[Prompt, list[int]]:
    """The first prompt of a conversation and the float model's own greedy reply to it."""
    prompt = prompt_of(checkpoint, conversation, components.vision_encoder.image_tokens)
    reply = greedy_reply(
        float_graphs(components, ar_len),
        prompt,
        conversation.max_new_tokens,
        checkpoint.stop_token_ids,
    )
    return prompt, reply.token_ids


def _open_picture(path: str) -> Image.Image:
    with Image.open(Path(path)) as picture:
        return picture.convert("RGB")
