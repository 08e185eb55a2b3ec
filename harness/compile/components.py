"""Builds one component: float module -> quantised graphs -> PTE -> checked and measured.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.compile import quantize, simulate
from harness.compile.decoder_metadata import constant_methods
from harness.compile.dram import DramTraffic, parse_dram_traffic
from harness.compile.job import Job, write_result
from harness.compile.lower import Graph, HtpOptions, lower
from harness.compile.pte import MethodContents, check_fully_delegated, read_methods
from harness.compile.source import load, prompt_of, prompt_with_reply
from harness.compile.stage_clock import StageClock
from harness.manifest import Component, MethodFacts
from models.checkpoint import Checkpoint
from models.components import (
    Components,
    build_components,
    build_text_decoder,
    build_tok_embedding,
    build_vision_encoder,
)
from models.generate import (
    TEXT_DECODER,
    TOK_EMBEDDING,
    VISION_ENCODER,
    GraphCall,
    KvCache,
    decode,
    embed,
    float_graphs,
    prefill,
)
from models.prompt import Prompt

Tell = Callable[[str], None]
Inputs = tuple[torch.Tensor, ...]

METHOD_NAMES = {
    TOK_EMBEDDING: ("tok_embedding_kv_forward", "tok_embedding_prefill_forward"),
    TEXT_DECODER: ("kv_forward", "prefill_forward"),
}
_EMBEDDING_CALIBRATION_IDS = 4096


def build_component(job: Job, folder: Path, log: Path, tell: Tell) -> None:
    """Do a component's job: write its PTE and `result.json` into `folder`.

    `log` is where the HTP compiler's output goes, which tells the DRAM traffic.
    """
    clock = StageClock(tell, "loading")
    checkpoint = load(job)
    build = {
        VISION_ENCODER: _build_vision_encoder,
        TOK_EMBEDDING: _build_tok_embedding,
        TEXT_DECODER: _build_text_decoder,
    }[job.part]
    pte, measure_sqnr_db = build(job, checkpoint, clock)
    clock("checking")
    methods = read_methods(pte)
    check_fully_delegated(job.part, methods, _method_names(job), calls=1)
    path = folder / pte_name(job)
    path.write_bytes(pte)
    facts = _method_facts(job, methods, _dram_traffic(log))
    layers, parameters = _geometry(job, checkpoint)
    sqnr_db = None
    if job.simulator and parameters <= simulate.LARGEST_PARAMETERS:
        clock("measuring on the simulator")
        sqnr_db = measure_sqnr_db(path)
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


def pte_name(job: Job) -> str:
    """File name in ExecuTorch's contract."""
    if job.part == TEXT_DECODER:
        return f"{job.mode}_llama_qnn.pte"
    return f"{job.part}_qnn.pte"


def _method_names(job: Job) -> tuple[str, ...]:
    """The methods of a component's PTE, one per width."""
    return METHOD_NAMES.get(job.part, ("forward",))[: max(1, len(job.ar_lens))]


def _build_vision_encoder(
    job: Job, checkpoint: Checkpoint, tell: Tell
) -> tuple[bytes, Callable[[Path], float]]:
    encoder = build_vision_encoder(checkpoint)
    prompts = [prompt_of(checkpoint, c, encoder.image_tokens) for c in job.conversations]
    pictures = [(picture[None],) for prompt in prompts for picture in prompt.pixels]
    quantizer = quantize.make_quantizer(job.soc, job.made_by.quantization)
    tell("exporting")
    prepared = quantize.prepare(encoder, encoder.example_inputs(), quantizer)
    tell("calibrating")
    quantize.calibrate(prepared, pictures)
    graph = Graph(quantize.convert(prepared), encoder.example_inputs())
    tell("lowering")
    pte = lower({"forward": graph}, _htp_options(job))
    return pte, lambda path: simulate.sqnr_of_calls(path, "forward", encoder, pictures[:2])


def _build_tok_embedding(
    job: Job, checkpoint: Checkpoint, tell: Tell
) -> tuple[bytes, Callable[[Path], float]]:
    embedding = build_tok_embedding(checkpoint)
    vocab_size = embedding.rows.num_embeddings
    tell("exporting")
    prepared = _prepare_widths(job, embedding)
    tell("calibrating")
    # The range of a table is known without a model: its rows, evenly sampled if there are many.
    step = max(1, vocab_size // _EMBEDDING_CALIBRATION_IDS)
    ids = torch.arange(0, vocab_size, step, dtype=torch.int32)
    widest = prepared[job.calibration_ar_len]
    quantize.calibrate(widest, _id_chunks(ids, job.calibration_ar_len))
    graphs = {
        name: Graph(module, embedding.example_inputs(ar_len))
        for name, ar_len, module in _converted(job, embedding, prepared)
    }
    tell("lowering")
    pte = lower(graphs, _htp_options(job))
    samples = list(_id_chunks(ids[:: max(1, len(ids) // 16)], 1))
    method = METHOD_NAMES[TOK_EMBEDDING][0]
    return pte, lambda path: simulate.sqnr_of_calls(path, method, embedding, samples)


def _build_text_decoder(
    job: Job, checkpoint: Checkpoint, tell: Tell
) -> tuple[bytes, Callable[[Path], float]]:
    components = build_components(checkpoint, job.context_length)
    decoder = components.text_decoder
    talks = [
        prompt_with_reply(checkpoint, components, c, job.calibration_ar_len)
        for c in job.conversations
    ]
    tell("exporting")
    prepared = _prepare_widths(job, decoder)
    tell("calibrating")
    widest = prepared[job.calibration_ar_len]
    for prompt, reply in talks:
        calls = _decoder_calls(components, prompt, reply, job.calibration_ar_len)
        quantize.calibrate(widest, calls)
    cache_inputs = range(3, 3 + 2 * decoder.config.n_layers)
    quantize.tie_cache_ranges(widest, cache_inputs)
    converted = _converted(job, decoder, prepared)
    graphs = {
        name: Graph(
            module,
            decoder.example_inputs(ar_len),
            quantized_inputs=_boundary_shapes(decoder.example_inputs(ar_len)),
            quantized_outputs=True,
        )
        for name, ar_len, module in converted
    }
    boundary = quantize.common_boundary({name: graph for name, _, graph in converted}, cache_inputs)
    constants = constant_methods(job, checkpoint, decoder.config, {"kv_forward": boundary})
    tell("lowering")
    pte = lower(graphs, _htp_options(job, split_heads=True, constants=constants))

    def measure(path: Path) -> float:
        methods = {ar_len: method for method, ar_len, _ in converted}
        return simulate.sqnr_of_decoder(path, methods, components, boundary, talks[0])

    return pte, measure


def _prepare_widths(job: Job, module: Any) -> dict[int, Any]:
    """Prepared graphs of every width to lower and of the one to calibrate."""
    widths = sorted({*job.ar_lens, job.calibration_ar_len})
    return {
        ar_len: quantize.prepare(
            module,
            module.example_inputs(ar_len),
            quantize.make_quantizer(job.soc, job.made_by.quantization),
        )
        for ar_len in widths
    }


def _converted(job: Job, module: Any, prepared: Mapping[int, Any]) -> list[tuple[str, int, Any]]:
    """(method name, width, quantised graph) with the encodings of the calibrated width."""
    calibrated = prepared[job.calibration_ar_len]
    converted = []
    for name, ar_len in zip(METHOD_NAMES[job.part], job.ar_lens, strict=False):
        if ar_len != job.calibration_ar_len:
            quantize.copy_ranges(calibrated, prepared[ar_len], module.example_inputs(ar_len))
        converted.append((name, ar_len, prepared[ar_len]))
    return [(name, ar_len, quantize.convert(graph)) for name, ar_len, graph in converted]


def _decoder_calls(
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


def _id_chunks(ids: torch.Tensor, ar_len: int) -> Iterator[Inputs]:
    for chunk in ids.split(ar_len):
        padded = torch.zeros(1, ar_len, dtype=torch.int32)
        padded[0, : len(chunk)] = chunk
        yield (padded,)


def _boundary_shapes(example: Inputs) -> frozenset[tuple[int, ...]]:
    """Shapes of the decoder inputs that are quantised at the boundary: mask and caches."""
    return frozenset(tuple(tensor.shape) for tensor in (example[1], *example[3:]))


def _htp_options(
    job: Job, *, split_heads: bool = False, constants: Mapping[str, Any] | None = None
) -> HtpOptions:
    return HtpOptions(
        soc=job.soc,
        share_weights=not job.simulator and len(job.ar_lens) > 1,
        split_heads=split_heads,
        constants=constants or {},
    )


def _dram_traffic(log: Path) -> list[DramTraffic]:
    ctypes.CDLL(None).fflush(None)  # the compiler prints through C's own buffer
    return parse_dram_traffic(log.read_text(encoding="utf-8", errors="replace"))


def _method_facts(
    job: Job, methods: Mapping[str, MethodContents], traffic: list[DramTraffic]
) -> dict[str, MethodFacts]:
    """Facts per method; traffic only if the compiler reported one block per graph."""
    widths = dict(zip(METHOD_NAMES.get(job.part, ()), job.ar_lens, strict=False))
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
