"""A finished PTE on Qualcomm's HTP simulator, compared with the float module.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from executorch.runtime import Runtime

from harness.compile.encodings import Boundary, Encoding
from models.components import Components
from models.generate import Graphs, KvCache, decode, embed, float_graphs, prefill
from models.prompt import Prompt

TIME_BUDGET_S = 60.0
"""For the tokens of a reply, each side."""

LARGEST_PARAMETERS = 20_000_000
"""Larger components are not simulated: 135 million parameters took 15 s a token, 360 million
close to a minute, and a call once begun, such as that of a prefill graph, cannot be stopped."""

Inputs = tuple[torch.Tensor, ...]


def sqnr_db(reference: torch.Tensor, measured: torch.Tensor) -> float:
    """Signal to quantisation noise ratio, 10 log10(mean reference^2 / mean error^2), in dB."""
    noise = (reference - measured).double().square().mean()
    signal = reference.double().square().mean()
    return float(10 * torch.log10(signal / noise.clamp_min(1e-30)))


def sqnr_of_calls(
    pte: Path, method_name: str, module: Callable[..., torch.Tensor], samples: Iterable[Inputs]
) -> float:
    """SQNR over all outputs of one method on a few inputs."""
    method = Runtime.get().load_program(pte).load_method(method_name)
    with torch.no_grad():
        pairs = [(module(*sample), method.execute(list(sample))[0].clone()) for sample in samples]
    return round(
        sqnr_db(
            torch.cat([a.flatten() for a, _ in pairs]), torch.cat([b.flatten() for _, b in pairs])
        ),
        2,
    )


def sqnr_of_decoder(
    pte: Path,
    widths: Mapping[str, Any],
    components: Components,
    boundaries: Mapping[str, Boundary],
    talk: tuple[Prompt, list[int]],
) -> float:
    """SQNR of the logits at the positions of a prompt and its float reply, teacher-forced.

    The float graphs and the simulator read the same ids; each keeps its own cache, so that
    quantisation error accumulates as it does in a run. The prompt is always read whole;
    between steps of the reply each side stops once `TIME_BUDGET_S` is spent.

    Args:
        widths: tokens per call by method.
        boundaries: encodings by method, none for a float boundary.
    """
    program = Runtime.get().load_program(pte)
    calls = {
        width: quantized_call(program.load_method(name), boundaries.get(name))
        for name, width in widths.items()
    }
    return sqnr_of_decoder_calls(calls, components, talk)


def sqnr_of_decoder_calls(
    calls: Mapping[int, Callable[..., Any]], components: Components, talk: tuple[Prompt, list[int]]
) -> float:
    """As `sqnr_of_decoder`, of float calls of the decoder's graphs by width."""
    prompt, reply = talk
    exact = replace(
        float_graphs(components),
        tok_embedding=dict.fromkeys({1, *calls}, components.tok_embedding),
        text_decoder=dict.fromkeys(calls, components.text_decoder),
    )
    step = min(calls)
    expected = _teacher_forced(exact, prompt, reply, step)
    got = _teacher_forced(replace(exact, text_decoder=calls), prompt, reply, step)
    both = min(len(expected), len(got))
    return round(sqnr_db(expected[:both], got[:both]), 2)


def _teacher_forced(graphs: Graphs, prompt: Prompt, reply: list[int], step: int) -> torch.Tensor:
    """Logits (positions, vocab) over a prompt and the reply after it, `step` tokens a call."""
    deadline = time.monotonic() + TIME_BUDGET_S
    cache = KvCache(graphs.config)
    with torch.no_grad():
        logits = [prefill(graphs, prompt, cache)]
        for begin in range(0, len(reply) - 1, step):
            if time.monotonic() > deadline:
                break
            tokens = reply[:-1][begin : begin + step]
            logits.append(decode(graphs, embed(graphs, tokens, 1), cache, step))
    return torch.cat(logits)


def quantized_call(
    method: Any, boundary: Boundary | None
) -> Callable[..., tuple[torch.Tensor, ...]]:
    """A float call of a decoder method, whose boundary may be quantised."""
    if boundary is None:
        return lambda *inputs: tuple(method.execute(list(inputs)))

    def call(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden, mask, pos_ids, *caches = inputs
        outputs = method.execute(
            [
                hidden,
                _quantize(mask, boundary.mask),
                pos_ids,
                *map(_quantize, caches, boundary.caches),
            ]
        )
        return tuple(map(_dequantize, outputs, (boundary.logits, *boundary.caches)))

    return call


def _quantize(values: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    steps = torch.round(values / encoding.scale) + encoding.zero_point
    integers = steps.clamp(encoding.quant_min, encoding.quant_max).to(torch.int32)
    return integers.to(encoding.storage)


def _dequantize(values: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    return (values.to(torch.int32).float() - encoding.zero_point) * encoding.scale
