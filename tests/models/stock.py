"""Logits of transformers' own model, and of ours, of the same prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.checkpoint import Checkpoint
from models.generate import Graphs, KvCache, decode, embed, prefill, stock_pixels
from models.prompt import Prompt

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@torch.no_grad()
def stock_logits(
    checkpoint: Checkpoint, token_ids: Sequence[int], pixels: torch.Tensor
) -> torch.Tensor:
    """(len, vocab) of one full forward of the transformers model."""
    outputs = checkpoint.model(
        input_ids=torch.tensor([list(token_ids)]), pixel_values=stock_pixels(checkpoint, pixels)
    )
    return outputs.logits[0]


@torch.no_grad()
def static_logits(graphs: Graphs, prompt: Prompt, continuation: list[int]) -> torch.Tensor:
    """(prompt + continuation, vocab): the prompt prefilled, the rest decoded one by one."""
    cache = KvCache(graphs.config)
    rows = [prefill(graphs, prompt, cache)]
    rows += [decode(graphs, embed(graphs, [token], 1), cache) for token in continuation]
    return torch.cat(rows)
