"""Case inputs and references: what a rerun needs instead of torch and transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from harness.compile.job import Conversation, Job, write_result
from harness.compile.prepared import PreparedCases
from harness.compile.source import load, prompt_with_reply
from harness.manifest import TOKENIZER_NAME, CaseInputs, ImageInput
from models.components import build_components


def prepare_cases(job: Job, folder: Path, tell: Callable[[str], None]) -> None:
    """Write token ids, pixel tensors and float replies of all conversations into `folder`."""
    checkpoint = load(job)
    components = build_components(checkpoint, job.context_length)
    tell("preparing cases")
    cases = {}
    for conversation in job.conversations:
        prompt, reply = prompt_with_reply(
            checkpoint, components, conversation, job.calibration_ar_len
        )
        cases[conversation.name] = CaseInputs(
            inputs_sha256="",  # the parent knows the spec
            prompt_text=prompt.text,
            prompt_token_ids=prompt.token_ids,
            images=_write_pixels(folder, conversation, prompt.pixels),
            reference_token_ids=tuple(reply),
            reference_text=checkpoint.tokenizer.decode(reply, skip_special_tokens=True),
        )
    checkpoint.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_NAME))
    write_result(
        folder,
        PreparedCases(
            image_token_id=checkpoint.image_token_id,
            stop_token_ids=checkpoint.stop_token_ids,
            cases=cases,
        ),
    )


def _write_pixels(
    folder: Path,
    conversation: Conversation,
    pixels: torch.Tensor,  # (n_images, 3, H, W) float32
) -> tuple[ImageInput, ...]:
    images = []
    for index, picture in enumerate(pixels):
        name = f"cases/{conversation.name}/pixels_{index}.bin"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.numpy().tobytes())
        images.append(ImageInput(name, (1, *picture.shape)))
    return tuple(images)
