"""Builds the text decoder: calibrated on what it will see, its cache quantised at the boundary.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule

from harness.compile import quantize, simulate
from harness.compile.decoder_metadata import constant_methods
from harness.compile.encodings import Boundary, read_boundaries
from harness.compile.graphs import (
    Quantized,
    calibrated_name,
    convert_all,
    htp_options,
    method_widths,
    prepare_widths,
    share_ranges,
)
from harness.compile.job import Job
from harness.compile.lower import Graph
from harness.compile.source import prompt_with_reply
from models.checkpoint import Checkpoint
from models.components import Components, build_components
from models.generate import (
    TEXT_DECODER,
    GraphCall,
    KvCache,
    decode,
    embed,
    float_graphs,
    prefill,
)
from models.prompt import Prompt

Inputs = tuple[torch.Tensor, ...]
Talk = tuple[Prompt, list[int]]


def quantize_text_decoder(
    job: Job, checkpoint: Checkpoint, tell: Callable[[str], None]
) -> Quantized:
    """Its graphs, calibrated on talks and converted."""
    components = build_components(checkpoint, job.context_length)
    decoder = components.text_decoder
    talks = [
        prompt_with_reply(checkpoint, components, c, job.calibration_ar_len)
        for c in job.conversations
    ]
    tell("exporting")
    prepared = prepare_widths(job, decoder)
    boundaries: dict[str, Boundary] = {}
    if job.made_by.quantization == "fp16":
        converted = convert_all(job, prepared)
    else:
        tell("calibrating")
        _calibrate(job, components, prepared, talks)
        converted = convert_all(job, prepared)
        boundaries = read_boundaries(
            converted, _cache_inputs(components), shared=not _is_separate(job)
        )
    graphs = {
        name: boundary_graph(module, decoder.example_inputs(width), boundaries.get(name))
        for (name, width), module in zip(
            method_widths(job).items(), converted.values(), strict=True
        )
    }
    constants = constant_methods(job, checkpoint, decoder.config, boundaries)
    options = htp_options(job, n_layers=decoder.config.n_layers, constants=constants)

    def measure(path: Path) -> float:
        return simulate.sqnr_of_decoder(path, method_widths(job), components, boundaries, talks[0])

    return Quantized(graphs, options, measure)


def _is_separate(job: Job) -> bool:
    return job.made_by.encodings == "separate" and len(method_widths(job)) > 1


def _cache_inputs(components: Components) -> range:
    """Positions of the cache inputs: after hidden states, mask and positions."""
    return range(3, 3 + 2 * components.text_decoder.config.n_layers)


def _calibrate(
    job: Job, components: Components, prepared: Mapping[str, GraphModule], talks: list[Talk]
) -> None:
    """Observe the talks: in one graph for all, or in each graph what it reads in a run.

    Apart, the prefill graph sees the prompts alone. With the replies, too, its ranges would be
    those of the decode graph, and there would be nothing to keep apart.
    """
    widths: dict[str, Any] = {calibrated_name(job): job.calibration_ar_len}
    replies_in = set(widths)
    if _is_separate(job):
        widths = method_widths(job)
        replies_in = {next(iter(widths))}  # of decode and prefill the first
    for name, width in widths.items():
        calls = (
            call
            for prompt, reply in talks
            for call in decoder_calls(
                components, prompt, reply if name in replies_in else [], width
            )
        )
        quantize.calibrate(prepared[name], calls)
        quantize.tie_cache_ranges(prepared[name], _cache_inputs(components))
    if _is_separate(job):
        quantize.tie_logits_ranges([prepared[name] for name in widths])
    else:
        share_ranges(job, components.text_decoder, prepared)


def decoder_calls(
    components: Components, prompt: Prompt, reply: list[int], ar_len: int
) -> list[Inputs]:
    """The decoder's exact inputs while it reads a prompt and a reply in chunks of `ar_len`.

    The reply is the float model's own, so that the ranges are those of what the decoder
    will see when it answers.
    """
    calls: list[Inputs] = []

    def keep(call: GraphCall) -> None:
        if call.component == TEXT_DECODER and call.ar_len == ar_len:
            calls.append(call.inputs)

    graphs = float_graphs(components, ar_len, on_call=keep)
    cache = KvCache(components.text_decoder.config)
    with torch.no_grad():
        prefill(graphs, prompt, cache)
        for chunk in embed(graphs, reply[:-1], ar_len).split(ar_len) if len(reply) > 1 else ():
            decode(graphs, chunk, cache, ar_len)
    return calls


def boundary_graph(module: GraphModule, example: Inputs, boundary: Boundary | None) -> Graph:
    """Mask, caches, new entries and logits cross the boundary as integers, or all as floats."""
    if boundary is None:
        return Graph(module, example)
    caches = [encoding.storage for encoding in boundary.caches]
    shapes = [tuple(tensor.shape) for tensor in example]
    past = dict(zip(shapes[3:], caches, strict=True))
    return Graph(
        module,
        example,
        integer_inputs={shapes[1]: boundary.mask.storage, **past},
        integer_outputs=(boundary.logits.storage, *caches),
    )
