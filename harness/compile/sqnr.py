"""Signal to quantisation noise of a component, against its float module."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from models.generate import Graphs, KvCache, decode, embed, prefill
from models.prompt import Prompt

Inputs = tuple[torch.Tensor, ...]

_TIME_BUDGET_S = 60.0


def sqnr_db(reference: torch.Tensor, measured: torch.Tensor) -> float:
    """10 log10(mean reference^2 / mean error^2), in dB."""
    noise = (reference - measured).double().square().mean()
    signal = reference.double().square().mean()
    return float(10 * torch.log10(signal / noise.clamp_min(1e-30)))


def teacher_forced_sqnr_db(
    exact: Graphs,
    decoder: Mapping[int, Callable[..., Any]],
    talk: tuple[Prompt, list[int]],
) -> float:
    """SQNR of a decoder's logits at the positions of a prompt and its float reply, in dB.

    Both sides read the same ids and keep a cache of their own, so that error accumulates as
    it does in a run.

    Args:
        exact: the float graphs; `decoder` is the one to judge, by width.
    """
    prompt, reply = talk
    judged = replace(exact, text_decoder=decoder)
    expected, got = _teacher_forced(exact, prompt, reply), _teacher_forced(judged, prompt, reply)
    both = min(len(expected), len(got))
    return sqnr_db(expected[:both], got[:both])


def _teacher_forced(graphs: Graphs, prompt: Prompt, reply: list[int]) -> torch.Tensor:
    """Logits (positions, vocab) over a prompt and, as far as time allows, the reply after it."""
    deadline = time.monotonic() + _TIME_BUDGET_S
    cache = KvCache(graphs.config)
    width = min(graphs.text_decoder)
    with torch.no_grad():
        logits = [prefill(graphs, prompt, cache)]
        for token in reply[:-1] if width == 1 else ():
            if time.monotonic() > deadline:
                break
            logits.append(decode(graphs, embed(graphs, [token], 1), cache))
    return torch.cat(logits)
