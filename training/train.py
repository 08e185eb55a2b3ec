"""The training loop: a fixed number of steps over freshly drawn pictures."""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from training.batches import IGNORED_LABEL, Batch, Layout, PackedPictures
from training.checkpoint import Checkpoint, save_checkpoint
from training.evaluate import accuracy
from training.family import TinyFamily
from training.hints import NAMED_COLUMNS, HintReader
from training.muon import Muon
from training.pictures import VALIDATION_SEEDS
from training.questions import make_example

Report = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What decides the weights. Each step sees `pictures` new pictures, `questions` on each."""

    steps: int = 1400
    pictures: int = 16
    questions: int = 5
    warmup_steps: int = 100
    matrix_rate: float = 3e-3
    other_rate: float = 2e-3
    weight_decay: float = 0.05
    hint_weight: float = 0.5
    max_gradient_norm: float = 1.0
    seed: int = 2024
    steps_between_checks: int = 200
    checked_examples: int = 200


@dataclass(frozen=True)
class _Apprentice:
    """What is trained: the model, and the reader of its image tokens that is not kept."""

    family: TinyFamily
    model: Any
    hint_reader: HintReader

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        yield from self.model.parameters()
        yield from self.hint_reader.parameters()


def train(family: TinyFamily, settings: Settings, out_dir: Path, report: Report) -> None:
    """Train from scratch and write the checkpoint to `out_dir`; progress goes to `report`.

    One thread computes and one process draws. The same settings on the same kind of CPU give the
    same weights; other CPUs round differently.
    """
    torch.manual_seed(settings.seed)
    # Sums then do not depend on the number of cores; on matrices this small a second thread gains
    # little, and on a busy machine the two mostly wait for each other.
    torch.set_num_threads(1)
    _keep_freed_memory()
    tokenizer = family.build_tokenizer()
    model = family.model_class(family.build_config(tokenizer))
    word_ids = [[_word_id(tokenizer, name) for name in names] for names in NAMED_COLUMNS]
    hint_reader = HintReader(model.get_input_embeddings(), word_ids)
    apprentice = _Apprentice(family, model, hint_reader)
    data = PackedPictures(family, tokenizer, settings.steps, settings.pictures, settings.questions)
    count = sum(parameter.numel() for parameter in model.parameters())
    report(f"{count} parameters, {settings.steps} steps of {settings.pictures} pictures")
    _run_steps(settings, apprentice, data, report)
    save_checkpoint(Checkpoint(family, model, tokenizer, family.build_image_processor()), out_dir)
    report(f"written to {out_dir}")


def _word_id(tokenizer: Any, word: str) -> int:
    (word_id,) = tokenizer(f" {word}")["input_ids"]
    return int(word_id)


def _keep_freed_memory() -> None:
    # glibc returns each freed tensor to the kernel, which clears the pages of the next one: a good
    # part of a step. Where there is no mallopt, training is slower and otherwise the same.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold, one_gibibyte = -1, -3, 1 << 30
        libc.mallopt(mmap_threshold, one_gibibyte)
        libc.mallopt(trim_threshold, one_gibibyte)


def _run_steps(
    settings: Settings, apprentice: _Apprentice, data: PackedPictures, report: Report
) -> None:
    optimizers = _optimizers(settings, apprentice)
    check = _accuracy_check(settings, apprentice.model, data)
    started = time.monotonic()
    batches = DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=4)
    apprentice.model.train()
    for step, batch in enumerate(batches, start=1):
        answer_loss, hint_loss = _losses(apprentice, data.layout, batch)
        (answer_loss + settings.hint_weight * hint_loss).backward()
        torch.nn.utils.clip_grad_norm_(apprentice.parameters(), settings.max_gradient_norm)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["top_rate"] * _rate_factor(step, settings)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 25 == 0:
            losses = f"loss {answer_loss.item():.4f}  hints {hint_loss.item():.4f}"
            report(f"step {step:5d}  {losses}  {time.monotonic() - started:5.0f} s")
        if step % settings.steps_between_checks == 0 or step == settings.steps:
            report(f"step {step:5d}  held-out accuracy {check():.3f}")


def _accuracy_check(settings: Settings, model: Any, data: PackedPictures) -> Callable[[], float]:
    examples = [make_example(seed) for seed in VALIDATION_SEEDS[: settings.checked_examples]]
    family = data.family
    checkpoint = Checkpoint(family, model, data.tokenizer, family.build_image_processor())

    def check() -> float:
        model.eval()
        share = accuracy(checkpoint, examples)
        model.train()
        return share

    return check


def _optimizers(settings: Settings, apprentice: _Apprentice) -> list[torch.optim.Optimizer]:
    layers = {
        parameter
        for name, parameter in apprentice.model.named_parameters()
        if any(part in name for part in apprentice.family.matrix_names) and parameter.dim() == 2
    }
    matrices = [p for p in apprentice.parameters() if p in layers]
    tables = [p for p in apprentice.parameters() if p.dim() >= 2 and p not in layers]
    vectors = [p for p in apprentice.parameters() if p.dim() < 2]
    muon = Muon(matrices, lr=settings.matrix_rate, weight_decay=settings.weight_decay)
    adam = torch.optim.AdamW(
        [
            {"params": tables, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=settings.other_rate,
        betas=(0.9, 0.98),
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["top_rate"] = group["lr"]
    return [muon, adam]


def _rate_factor(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step <= settings.warmup_steps:
        return step / settings.warmup_steps
    done = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _losses(
    apprentice: _Apprentice, layout: Layout, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross entropy of the reply tokens, and the hints' loss."""
    pictures = batch.pixels.shape[0]
    model = apprentice.model
    seen, image_tokens = apprentice.family.see(model, batch.pixels)
    hint_loss = apprentice.hint_reader.loss(image_tokens, batch.cells)
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=layout.attention_mask().expand(pictures, -1, -1, -1),
        position_ids=layout.position_ids().expand(pictures, -1),
        mm_encoder_outputs={"image": seen},
        use_cache=False,
    ).logits
    # What a slot's last token predicts is the next slot's first, a question token: ignored.
    targets = batch.labels[:, 1:]
    known = targets != IGNORED_LABEL
    answer_loss = torch.nn.functional.cross_entropy(logits[:, :-1][known], targets[known])
    return answer_loss, hint_loss
