"""Builds one component for the CPU: float module -> quantised weights -> PTE -> measured.

Imports torch and executorch, nothing of Qualcomm's; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from executorch.runtime import Runtime
from torch import nn

from harness.compile.contract import METHOD_NAMES, method_names, pte_name
from harness.compile.decoder_metadata import constant_methods
from harness.compile.job import Job, write_result
from harness.compile.pte import MethodContents, read_methods
from harness.compile.simulate import Inputs, sqnr_db, sqnr_of_decoder_calls
from harness.compile.source import load, prompt_of, prompt_with_reply
from harness.compile.stage_clock import StageClock
from harness.compile.xnnpack_lower import check_delegated, lower_to_xnnpack, quantize_weights
from harness.manifest import Component, MethodFacts
from models.checkpoint import Checkpoint
from models.components import build_components, build_tok_embedding, build_vision_encoder
from models.cpu_cache import QuantizedCache, cache_ranges
from models.cpu_decoder import CpuTextDecoder
from models.cpu_embedding import CpuTokenEmbedding
from models.generate import TEXT_DECODER, TOK_EMBEDDING, VISION_ENCODER

Tell = Callable[[str], None]
MeasureSqnr = Callable[[Any], float]
"""Takes the loaded program."""


@dataclass(frozen=True)
class Graphs:
    """What to lower, (module, example inputs) by method; and how to judge the result."""

    methods: dict[str, tuple[nn.Module, Inputs]]
    constants: dict[str, Any]
    layers: int | None
    parameters: int
    measure_sqnr_db: MeasureSqnr


def build_cpu_component(job: Job, folder: Path, tell: Tell) -> None:
    """Do a component's job: write its PTE and `result.json` into `folder`.

    Raises:
        CompileError: a weight has no whole number of blocks, or more than the few operators
            that XNNPACK does not have would run beside it.
    """
    clock = StageClock(tell, "loading")
    build = {
        VISION_ENCODER: _vision_encoder,
        TOK_EMBEDDING: _tok_embedding,
        TEXT_DECODER: _text_decoder,
    }[job.part]
    checkpoint = load(job)
    graphs = build(job, checkpoint, clock)
    clock("lowering")
    pte = lower_to_xnnpack(graphs.methods, graphs.constants)
    clock("checking")
    methods = read_methods(pte)
    check_delegated(job.part, methods, method_names(job))
    path = folder / pte_name(job)
    path.write_bytes(pte)
    clock("measuring")
    measured = graphs.measure_sqnr_db(Runtime.get().load_program(path))
    stage_s = clock.seconds()
    component = Component(
        file=path.name,
        backend="xnnpack",
        recipe=job.made_by.as_dict(),
        methods=_method_facts(job, methods),
        sqnr_db=round(measured, 2),
        compile_s=round(sum(stage_s.values()), 1),
        layers=graphs.layers,
        parameters=graphs.parameters,
        stage_s=stage_s,
    )
    write_result(folder, component)


def _vision_encoder(job: Job, checkpoint: Checkpoint, tell: Tell) -> Graphs:
    encoder = build_vision_encoder(checkpoint)
    prompts = [prompt_of(checkpoint, c, encoder.image_tokens) for c in job.conversations[:2]]
    samples = [(picture[None],) for prompt in prompts for picture in prompt.pixels]
    expected = _outputs(encoder, samples)
    layers, parameters = len(encoder.layers), _count(encoder)
    tell("quantising")
    encoder = quantize_weights(encoder, job.made_by)

    def measure(program: Any) -> float:
        return _sqnr_of_calls(program, "forward", samples, expected)

    methods = {"forward": (encoder, encoder.example_inputs())}
    return Graphs(methods, {}, layers, parameters, measure)


def _tok_embedding(job: Job, checkpoint: Checkpoint, tell: Tell) -> Graphs:
    tell("quantising")
    embedding = build_tok_embedding(checkpoint)
    ids = torch.linspace(0, embedding.rows.num_embeddings - 1, 16).to(torch.int32)
    width = job.ar_lens[0]
    padded = torch.nn.functional.pad(ids, (0, -len(ids) % width))
    samples = [(chunk[None],) for chunk in padded.split(width)]
    expected, parameters = _outputs(embedding, samples), _count(embedding)
    if job.made_by.quantization != "fp32":
        embedding = CpuTokenEmbedding(embedding)
    names = METHOD_NAMES[TOK_EMBEDDING]
    methods = {
        name: (embedding, embedding.example_inputs(ar_len))
        for name, ar_len in zip(names, job.ar_lens, strict=False)
    }

    def measure(program: Any) -> float:
        return _sqnr_of_calls(program, names[0], samples, expected)

    return Graphs(methods, {}, None, parameters, measure)


def _text_decoder(job: Job, checkpoint: Checkpoint, tell: Tell) -> Graphs:
    components = build_components(checkpoint, job.context_length)
    decoder: nn.Module = CpuTextDecoder(components.text_decoder)
    conversations = job.conversations
    bits = job.made_by.kv_cache_bits or 32
    talks = [
        prompt_with_reply(checkpoint, components, c, job.calibration_ar_len)
        for c in (conversations[:1] if bits == 32 else conversations)
    ]
    tell("quantising")
    decoder = quantize_weights(decoder, job.made_by)
    if bits != 32:
        decoder = QuantizedCache(decoder, cache_ranges(components, talks), bits)
    widths = dict(zip(METHOD_NAMES[TEXT_DECODER], job.ar_lens, strict=False))
    methods = {name: (decoder, decoder.example_inputs(width)) for name, width in widths.items()}
    constants = constant_methods(job, checkpoint, components.text_decoder.config, {})
    if isinstance(decoder, QuantizedCache):
        constants |= decoder.quant_attrs()

    def measure(program: Any) -> float:
        calls = {width: _float_call(program, name, decoder) for name, width in widths.items()}
        return sqnr_of_decoder_calls(calls, components, talks[0])

    exact = components.text_decoder
    return Graphs(methods, constants, len(exact.layers), _count(exact), measure)


def _float_call(program: Any, name: str, decoder: nn.Module) -> Callable[..., Any]:
    """A method of the decoder with floats at its boundary, whatever its cache holds."""
    method = program.load_method(name)

    def call(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not isinstance(decoder, QuantizedCache):
            return tuple(output.clone() for output in method.execute(list(inputs)))
        quantized = (*inputs[:3], *decoder.quantize(inputs[3:]))
        logits, *entries = method.execute(list(quantized))
        return (logits.clone(), *decoder.dequantize(entries))

    return call


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _outputs(module: nn.Module, samples: list[Inputs]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([module(*sample).flatten() for sample in samples])


def _sqnr_of_calls(
    program: Any, method_name: str, samples: list[Inputs], expected: torch.Tensor
) -> float:
    method = program.load_method(method_name)
    outputs = [method.execute(list(sample))[0].clone().flatten() for sample in samples]
    return sqnr_db(expected, torch.cat(outputs))


def _method_facts(job: Job, methods: dict[str, MethodContents]) -> dict[str, MethodFacts]:
    widths = dict(zip(METHOD_NAMES.get(job.part, ()), job.ar_lens, strict=False))
    return {
        name: MethodFacts(
            ar_len=widths.get(name),
            delegate_calls=method.delegate_calls,
            dram_read_bytes=None,
            dram_write_bytes=None,
        )
        for name, method in methods.items()
    }
