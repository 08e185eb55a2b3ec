"""Builds one component: float module -> quantised graphs -> PTE -> checked and measured.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from harness.compile import quantize, simulate
from harness.compile.contract import pte_name
from harness.compile.dram import DramTraffic, parse_dram_traffic
from harness.compile.graphs import (
    Quantized,
    calibrated_name,
    convert_all,
    htp_options,
    id_chunks,
    method_widths,
    prepare_widths,
    share_ranges,
)
from harness.compile.job import Job, write_result
from harness.compile.lower import Graph, lower
from harness.compile.memory import memory_for
from harness.compile.pte import MethodContents, check_fully_delegated, read_methods
from harness.compile.source import load, prompt_of
from harness.compile.stage_clock import StageClock
from harness.compile.text_decoder import quantize_text_decoder
from harness.manifest import Component, MethodFacts
from models.checkpoint import Checkpoint
from models.components import build_text_decoder, build_tok_embedding, build_vision_encoder
from models.generate import TEXT_DECODER, TOK_EMBEDDING, VISION_ENCODER

Tell = Callable[[str], None]

_EMBEDDING_CALIBRATION_IDS = 4096


def build_component(job: Job, folder: Path, log: Path, tell: Tell) -> None:
    """Do a component's job: write its PTE and `result.json` into `folder`.

    `log` is where the HTP compiler's output goes, which tells the DRAM traffic.
    """
    clock = StageClock(tell, "loading")
    checkpoint = load(job)
    layers, parameters = _geometry(job, checkpoint)
    quantized = _quantize(job, checkpoint, clock)
    simulated = job.simulator and parameters <= simulate.LARGEST_PARAMETERS
    measure_sqnr_db = quantized.measure_sqnr_db if simulated else None
    graphs, options = quantized.graphs, quantized.options
    # Of a real model these are gigabytes of float weights, and the next stage needs its own.
    del checkpoint, quantized
    # A table of whatever size is one operator.
    lowered_parameters = 0 if job.part == TOK_EMBEDDING else parameters
    with memory_for(lowered_parameters, folder.parent, clock):
        clock("lowering")
        pte = lower(graphs, options)
    clock("checking")
    methods = read_methods(pte)
    check_fully_delegated(job.part, methods, method_widths(job), calls=job.made_by.num_shards or 1)
    path = folder / pte_name(job)
    path.write_bytes(pte)
    facts = _method_facts(job, methods, _dram_traffic(log))
    if measure_sqnr_db is not None:
        clock("measuring on the simulator")
    sqnr_db = None if measure_sqnr_db is None else measure_sqnr_db(path)
    stage_s = clock.seconds()
    component = Component(
        file=path.name,
        backend="qnn",
        recipe=job.made_by.as_dict(),
        methods=facts,
        sqnr_db=sqnr_db,
        compile_s=round(sum(stage_s.values()), 1),
        layers=layers,
        parameters=parameters,
        stage_s=stage_s,
    )
    write_result(folder, component)


def _quantize(job: Job, checkpoint: Checkpoint, tell: Tell) -> Quantized:
    """The component of the job, as its kind is quantised."""
    return {
        VISION_ENCODER: _quantize_vision_encoder,
        TOK_EMBEDDING: _quantize_tok_embedding,
        TEXT_DECODER: quantize_text_decoder,
    }[job.part](job, checkpoint, tell)


def _geometry(job: Job, checkpoint: Checkpoint) -> tuple[int | None, int]:
    """Layers (None where there are none) and parameters of the component's float module."""
    module = {
        VISION_ENCODER: build_vision_encoder,
        TOK_EMBEDDING: build_tok_embedding,
        TEXT_DECODER: lambda checkpoint: build_text_decoder(checkpoint, job.context_length),
    }[job.part](checkpoint)
    layers = getattr(module, "layers", None)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return None if layers is None else len(layers), parameters


def _quantize_vision_encoder(job: Job, checkpoint: Checkpoint, tell: Tell) -> Quantized:
    encoder = build_vision_encoder(checkpoint)
    prompts = [prompt_of(checkpoint, c, encoder.image_tokens) for c in job.conversations]
    pictures = [(picture[None],) for prompt in prompts for picture in prompt.pixels]
    tell("exporting")
    prepared = quantize.prepare(encoder, encoder.example_inputs(), job.soc, job.made_by)
    tell("calibrating")
    quantize.calibrate(prepared, pictures)
    graph = Graph(quantize.convert(prepared), encoder.example_inputs())
    return Quantized(
        {"forward": graph},
        htp_options(job),
        lambda path: simulate.sqnr_of_calls(path, "forward", encoder, pictures[:2]),
    )


def _quantize_tok_embedding(job: Job, checkpoint: Checkpoint, tell: Tell) -> Quantized:
    embedding = build_tok_embedding(checkpoint)
    vocab_size = embedding.rows.num_embeddings
    tell("exporting")
    prepared = prepare_widths(job, embedding)
    tell("calibrating")
    # The range of a table is known without a model: its rows, evenly sampled if there are many.
    step = max(1, vocab_size // _EMBEDDING_CALIBRATION_IDS)
    ids = torch.arange(0, vocab_size, step, dtype=torch.int32)
    quantize.calibrate(prepared[calibrated_name(job)], id_chunks(ids, job.calibration_ar_len))
    share_ranges(job, embedding, prepared)
    widths = method_widths(job)
    graphs = {
        name: Graph(module, embedding.example_inputs(widths[name]))
        for name, module in convert_all(job, prepared).items()
    }
    method, width = next(iter(widths.items()))
    assert width is not None
    samples = list(id_chunks(ids[:: max(1, len(ids) // 16)], width))
    return Quantized(
        graphs,
        htp_options(job),
        lambda path: simulate.sqnr_of_calls(path, method, embedding, samples),
    )


def _dram_traffic(log: Path) -> list[DramTraffic]:
    ctypes.CDLL(None).fflush(None)  # the compiler prints through C's own buffer
    return parse_dram_traffic(log.read_text(encoding="utf-8", errors="replace"))


def _method_facts(
    job: Job, methods: Mapping[str, MethodContents], traffic: list[DramTraffic]
) -> dict[str, MethodFacts]:
    """Facts per method; traffic only if the compiler reported one block per graph."""
    widths = method_widths(job)
    known = traffic if len(traffic) == len(methods) else [None] * len(methods)
    return {
        method.name: MethodFacts(
            ar_len=widths.get(method.name),
            delegate_calls=method.delegate_calls,
            dram_read_bytes=None if block is None else block.read_bytes,
            dram_write_bytes=None if block is None else block.write_bytes,
        )
        for method, block in zip(methods.values(), known, strict=True)
    }
