"""Compiles small decoders by recipe and runs them on the simulator.

`python recipes_worker.py FOLDER SOC RECIPE...`, each recipe a JSON object of a spec's keys;
prints one JSON object a line. One process for all of them: importing the compiler takes
longer than such a graph.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from executorch.runtime import Runtime

from harness.compile import quantize, simulate
from harness.compile.encodings import read_boundaries
from harness.compile.hot_spots import spare_waste
from harness.compile.lower import HtpOptions, lower
from harness.compile.pte import check_fully_delegated, read_methods
from harness.compile.text_decoder import boundary_graph
from harness.errors import CompileError
from harness.spec.recipe import TEXT_DECODER, ComponentRecipe, build_component_recipe
from models.decoder import MASKED, DecoderConfig, TextDecoder

AR_LEN = 4
SAMPLES = 6
CONFIG = DecoderConfig(
    dim=64,
    n_layers=2,
    n_heads=2,
    n_kv_heads=1,
    head_dim=32,
    ffn_dim=128,
    vocab_size=96,
    context_length=32,
    norm_eps=1e-5,
    rope_theta=10_000.0,
)
Inputs = tuple[torch.Tensor, ...]


def decoder_inputs(decoder: TextDecoder) -> Iterator[Inputs]:
    """Half-full caches of the size that a layer writes."""
    example = decoder.example_inputs(AR_LEN)
    for seed in range(SAMPLES):
        noise = torch.Generator().manual_seed(seed)
        hidden = torch.randn(example[0].shape, generator=noise)
        mask = example[1].clone()
        mask[..., :16] = 0.0
        mask[..., 16 : CONFIG.context_length - AR_LEN] = MASKED
        caches = (torch.randn(cache.shape, generator=noise) * 0.5 for cache in example[3:])
        yield (hidden, mask, example[2] + 16, *caches)


def build_decoder(soc: str, recipe: ComponentRecipe) -> dict[str, Any]:
    torch.manual_seed(0)
    decoder = TextDecoder(CONFIG).requires_grad_(False).eval()
    samples = list(decoder_inputs(decoder))
    example = decoder.example_inputs(AR_LEN)
    prepared = quantize.prepare(decoder, example, soc, recipe)
    boundaries = {}
    if recipe.quantization != "fp16":
        quantize.calibrate(prepared, samples)
        caches = range(3, len(example))
        quantize.tie_cache_ranges(prepared, caches)
    converted = quantize.convert(prepared)
    if recipe.quantization != "fp16":
        boundaries = read_boundaries({"kv_forward": converted}, caches, shared=True)
    boundary = boundaries.get("kv_forward")
    options = HtpOptions(
        soc,
        share_weights=False,
        half_precision=recipe.quantization == "fp16",
        split_heads=True,
        n_layers=CONFIG.n_layers,
        n_shards=recipe.num_shards or 1,
    )
    pte = lower({"kv_forward": boundary_graph(converted, example, boundary)}, options)
    method = methods_of(pte, "kv_forward", recipe.num_shards or 1)
    call = simulate.quantized_call(method, boundary)
    pairs = [(decoder(*sample), call(*sample)) for sample in samples[:2]]
    signature = read_methods(pte)["kv_forward"]
    return {
        "logits_sqnr_db": sqnr([(a[0], b[0]) for a, b in pairs]),
        "cache_sqnr_db": sqnr(
            [(x, y) for a, b in pairs for x, y in zip(a[1:], b[1:], strict=True)]
        ),
        "mask": signature.inputs[1].dtype,
        "cache": signature.inputs[3].dtype,
        "logits": signature.outputs[0].dtype,
        "bytes": len(pte),
    }


def methods_of(pte: bytes, name: str, calls: int) -> Any:
    check_fully_delegated("decoder", read_methods(pte), [name], calls=calls)
    path = Path(sys.argv[1]) / f"{len(list(Path(sys.argv[1]).iterdir()))}.pte"
    path.write_bytes(pte)
    return Runtime.get().load_program(path).load_method(name)


def sqnr(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    exact = torch.cat([a.flatten() for a, _ in pairs])
    return round(simulate.sqnr_db(exact, torch.cat([b.flatten() for _, b in pairs])), 1)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for text in sys.argv[3:]:
        recipe = build_component_recipe(json.loads(text), TEXT_DECODER)
        try:
            with spare_waste():
                found = build_decoder(sys.argv[2], recipe)
        except CompileError as err:
            found = {"error": str(err)}
        except Exception as err:
            found = {"error": f"{type(err).__name__}: {err}"}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
