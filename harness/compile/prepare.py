"""Case inputs and references: what a rerun needs instead of torch and transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from harness.accuracy.agreement import Candidate
from harness.compile.float_measures import prepare_perplexity, write_reference_logits
from harness.compile.job import Job, write_result
from harness.compile.prepared import PreparedCases
from harness.compile.source import load, prompts_of
from harness.manifest import TOKENIZER_NAME, CaseInputs, ImageInput, TurnInputs
from harness.references import REFERENCE_NAME, Reference, TurnReference, write_reference
from harness.spec.model import PERPLEXITY_CASE
from models.checkpoint import Checkpoint
from models.components import build_components
from models.generate import Reply, float_graphs, greedy_replies
from models.prompt import Prompt


def prepare_cases(job: Job, folder: Path, tell: Callable[[str], None]) -> None:
    """Write token ids, pixel tensors and float replies of all conversations into `folder`."""
    checkpoint = load(job)
    # As long as a request may be, so that the float reply ends where the runner's does.
    components = build_components(checkpoint, job.max_seq_len)
    graphs = float_graphs(components, job.calibration_ar_len)
    image_tokens = components.vision_encoder.image_tokens
    tell("preparing cases")
    cases = {}
    for talk in job.conversations:
        prompts = prompts_of(checkpoint, talk, image_tokens)
        replies = greedy_replies(graphs, prompts, talk.max_new_tokens, checkpoint.stop_token_ids)
        cases[talk.name] = _write_case(folder, talk.name, checkpoint, prompts, replies)
        if talk.keep_logits:
            write_reference_logits(folder, talk.name, replies[-1])
    if job.perplexity_text:
        cases[PERPLEXITY_CASE] = prepare_perplexity(folder, job.perplexity_text, checkpoint, graphs)
    checkpoint.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_NAME))
    write_result(
        folder,
        PreparedCases(
            image_token_id=checkpoint.image_token_id,
            stop_token_ids=checkpoint.stop_token_ids,
            cases=cases,
        ),
    )


def _write_case(
    folder: Path,
    name: str,
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    replies: Sequence[Reply],
) -> CaseInputs:
    inside = f"cases/{name}"
    (folder / inside).mkdir(parents=True, exist_ok=True)
    reference = Reference(tuple(map(_turn_reference, replies)))
    write_reference(folder / inside / REFERENCE_NAME, reference)
    return CaseInputs(
        inputs_sha256="",  # the parent knows the spec
        turns=tuple(
            TurnInputs(
                prompt_text=prompt.text,
                prompt_token_ids=prompt.token_ids,
                images=_write_pixels(folder, f"{inside}/turn_{number}", prompt.pixels),
                reference_token_ids=tuple(reply.token_ids),
                reference_text=checkpoint.tokenizer.decode(
                    reply.token_ids, skip_special_tokens=True
                ),
            )
            for number, (prompt, reply) in enumerate(zip(prompts, replies, strict=True))
        ),
        reference_path=f"{inside}/{REFERENCE_NAME}",
    )


def _turn_reference(reply: Reply) -> TurnReference:
    best = []
    for logits in reply.logits:  # each (vocab,)
        values, ids = logits.topk(2)
        first, second = map(Candidate, ids.tolist(), values.tolist())
        best.append((first, second))
    return TurnReference(tuple(reply.token_ids), tuple(best), reply.stop_reason)


def _write_pixels(
    folder: Path,
    stem: str,
    pixels: torch.Tensor,  # (n_tiles, 3, H, W) float32
) -> tuple[ImageInput, ...]:
    images = []
    for index, tile in enumerate(pixels):
        name = f"{stem}_pixels_{index}.bin"
        (folder / name).write_bytes(tile.numpy().tobytes())
        images.append(ImageInput(name, (1, *tile.shape)))
    return tuple(images)
