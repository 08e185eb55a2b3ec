"""The training loop: a fixed number of steps over freshly drawn pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import SmolVLMForConditionalGeneration

from training.batches import CELL_CLASSES, IGNORED_LABEL, Layout, PackedPictures
from training.checkpoint import IMAGE_TOKENS, build_config, build_image_processor, save_checkpoint
from training.evaluate import Checkpoint, accuracy
from training.muon import Muon
from training.pictures import VALIDATION_SEEDS
from training.questions import make_example
from training.tokenizer import build_tokenizer


@dataclass(frozen=True)
class Settings:
    """What decides the weights. `pictures` is per step, each with `questions` questions."""

    steps: int = 2000
    pictures: int = 32
    questions: int = 4
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    seed: int = 20_24
    threads: int = 1
    checked_examples: int = 200
    steps_between_checks: int = 250
    optimizer: str = "muon"
    muon_lr: float = 3e-3
    hint_weight: float = 0.5


def train(settings: Settings, out_dir: Path, report: Callable[[str], None]) -> None:
    """Train from scratch and write the checkpoint to `out_dir`; progress goes to `report`."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    import ctypes

    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(-3, 1 << 30)
    libc.mallopt(-1, 1 << 30)
    tokenizer = build_tokenizer()
    model = SmolVLMForConditionalGeneration(build_config(tokenizer))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    report(f"{parameters} parameters, {settings.steps} steps of {settings.pictures} pictures")

    data = PackedPictures(
        tokenizer, IMAGE_TOKENS, settings.steps, settings.pictures, settings.questions
    )
    hints = torch.nn.Linear(128, sum(CELL_CLASSES))
    optimizers = _optimizers(model, hints, settings)
    checked = [make_example(VALIDATION_SEEDS[i]) for i in range(settings.checked_examples)]
    checkpoint = Checkpoint(model, tokenizer, build_image_processor())
    started = time.monotonic()
    model.train()
    sum_loss = sum_hint = 0.0
    loader = DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=4)
    for step, (pixels, input_ids, labels, cells) in enumerate(loader, start=1):
        rate_factor = _rate_factor(step, settings)
        answer_loss, hint_loss = _losses(
            model, hints, data.layout, pixels, input_ids, labels, cells
        )
        (answer_loss + settings.hint_weight * hint_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, base_rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = base_rate * rate_factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        sum_loss += float(answer_loss.detach())
        sum_hint += float(hint_loss.detach())
        if step % 50 == 0:
            elapsed = time.monotonic() - started
            report(
                f"step {step:5d}  loss {sum_loss / 50:.4f}  hint {sum_hint / 50:.4f}  {elapsed:6.0f} s"
            )
            sum_loss = sum_hint = 0.0
        if step % settings.steps_between_checks == 0 or step == settings.steps:
            model.eval()
            report(f"step {step:5d}  held-out accuracy {accuracy(checkpoint, checked):.3f}")
            save_checkpoint(model, tokenizer, out_dir)
            model.train()


def _optimizers(
    model: SmolVLMForConditionalGeneration, hints: torch.nn.Linear, settings: Settings
) -> list[tuple[torch.optim.Optimizer, float]]:
    named = [*model.named_parameters(), *hints.named_parameters()]
    if settings.optimizer == "adamw":
        decayed = [p for _, p in named if p.dim() >= 2]
        plain = [p for _, p in named if p.dim() < 2]
        groups = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
        return [(adam, settings.learning_rate)]
    hidden = [p for n, p in named if p.dim() == 2 and "layers" in n]
    ids = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in ids]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    muon = Muon(hidden, lr=settings.muon_lr, weight_decay=settings.weight_decay)
    return [(adam, settings.learning_rate), (muon, settings.muon_lr)]


def _rate_factor(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step <= settings.warmup_steps:
        return step / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _losses(
    model: SmolVLMForConditionalGeneration,
    hints: torch.nn.Linear,
    layout: Layout,
    pixels: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    cells: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    count = pixels.shape[0]
    features = model.model.get_image_features(pixels[:, None], return_dict=True)
    hint_logits = hints(torch.cat(features.pooler_output)).split(CELL_CLASSES, dim=-1)
    hint_loss = sum(
        torch.nn.functional.cross_entropy(part, cells[..., k].flatten())
        for k, part in enumerate(hint_logits)
    )
    logits = model(
        input_ids=input_ids,
        attention_mask=layout.attention_mask().expand(count, -1, -1, -1),
        position_ids=layout.position_ids().expand(count, -1),
        mm_encoder_outputs={"image": features},
        use_cache=False,
    ).logits
    # A slot's last token predicts nothing: the first label of the next slot is a question token,
    # which is ignored.
    targets = labels[:, 1:]
    known = targets != IGNORED_LABEL
    return torch.nn.functional.cross_entropy(logits[:, :-1][known], targets[known]), hint_loss
