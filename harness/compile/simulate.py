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

from harness.compile.quantize import Boundary, Encoding
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
    methods: Mapping[int, str],
    components: Components,
    boundary: Boundary,
    talk: tuple[Prompt, list[int]],
) -> float:
    """SQNR of the logits at the positions of a prompt and its float reply, teacher-forced.

    The float graphs and the simulator read the same ids; each keeps its own cache, so that
    quantisation error accumulates as it does in a run. The prompt is always read whole;
    between tokens of the reply each side stops once `TIME_BUDGET_S` is spent.
    """
    prompt, reply = talk
    exact = float_graphs(components, max(methods))
    program = Runtime.get().load_program(pte)
    simulated = replace(
        exact,
        text_decoder={
            ar_len: _quantized_call(program.load_method(name), boundary)
            for ar_len, name in methods.items()
        },
    )
    expected, got = _teacher_forced(exact, prompt, reply), _teacher_forced(simulated, prompt, reply)
    both = min(len(expected), len(got))
    return round(sqnr_db(expected[:both], got[:both]), 2)


def _teacher_forced(graphs: Graphs, prompt: Prompt, reply: list[int]) -> torch.Tensor:
    """Logits (positions, vocab) over a prompt and the reply after it."""
    deadline = time.monotonic() + TIME_BUDGET_S
    cache = KvCache(graphs.config)
    with torch.no_grad():
        logits = [prefill(graphs, prompt, cache)]
        for token in reply[:-1]:
            if time.monotonic() > deadline:
                break
            logits.append(decode(graphs, embed(graphs, [token], 1), cache))
    return torch.cat(logits)


def _quantized_call(method: Any, boundary: Boundary) -> Callable[..., tuple[torch.Tensor, ...]]:
    """A float call of a decoder method whose boundary is quantised."""

    def call(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden, mask, pos_ids, *caches = inputs
        outputs = method.execute(
            [
                hidden,
                _quantize(mask, boundary.mask),
                pos_ids,
                *map(_quantize, caches, boundary.cache_inputs),
            ]
        )
        encodings = (boundary.logits, *boundary.cache_outputs)
        return tuple(map(_dequantize, outputs, encodings))

    return call


def _quantize(values: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    steps = torch.round(values / encoding.scale) + encoding.zero_point
    return steps.clamp(encoding.quant_min, encoding.quant_max).to(torch.int32).to(torch.uint16)


def _dequantize(values: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    return (values.to(torch.int32).float() - encoding.zero_point) * encoding.scale
