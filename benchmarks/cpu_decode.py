"""Tokens a second of SmolVLM-256M's decoder on this computer's CPU, ours and transformers'.

The 135 million parameters are random, seeded, and the same for all. Ours runs in the native
runner on XNNPACK (mode kv, static cache); transformers' is `generate`, eager with its default
cache and compiled with a static one of the same length. All take turns in one run, on the
same prompt, greedily, with as many threads as there are cores. Compare float32 with float32;
the quantised ones stand beside them, marked by name.

    python benchmarks/cpu_decode.py [--tokens 224] [--rounds 3] [--quantization fp32 8da8w 8da4w]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from context import ROOT, context
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from harness.cache import cache_root, make_cache_dir
from harness.compile.xnnpack_lower import lower_to_xnnpack, quantize_weights
from harness.runtime import find_runtime
from harness.spec import ComponentRecipe
from models.cpu_decoder import CpuTextDecoder
from models.decoder_weights import build_text_decoder
from models.embedding import TokenEmbedding

CONFIG_DIR = ROOT / "models/configs/SmolVLM-256M-Instruct"
PROMPT_TOKENS = 32


class NoPicture(nn.Module):
    """Stands where the runner wants a vision encoder; never called."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(3, dim)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.project(pixels.flatten(1))[:, None]


class TokenTimes:
    """A streamer of `generate` that notes when each token came."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        if value.dim() == 1 and len(value) == 1:  # the prompt comes first, in one piece
            self.stamps.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is buffered."""


def build_model() -> Any:
    """transformers' own decoder of the configuration, float32, random."""
    config = AutoConfig.from_pretrained(CONFIG_DIR).text_config
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def write_ptes(model: Any, quantization: str, context_length: int) -> tuple[Path, float | None]:
    """A folder with three PTEs, and seconds of lowering; None if it was cached."""
    key = f"{quantization}-{context_length}-{_sources_sha256()[:16]}"
    folder = make_cache_dir(cache_root() / "benchmarks" / f"cpu_decode-{key}")
    if (folder / "decoder.pte").is_file():
        return folder, None
    table = model.get_input_embeddings().weight.detach()
    dim = table.shape[1]
    encoder, embedding = NoPicture(dim).requires_grad_(False), TokenEmbedding(table)
    parts = {
        "encoder": {"forward": (encoder, (torch.zeros(1, 3, 1, 1),))},
        "embedding": {"tok_embedding_kv_forward": (embedding, embedding.example_inputs(1))},
    }
    for name, methods in parts.items():
        (folder / f"{name}.pte").write_bytes(lower_to_xnnpack(methods, {}))
    exact = build_text_decoder(model.model, model.get_output_embeddings().weight, context_length)
    started = time.monotonic()
    recipe = ComponentRecipe(quantization, block_size=32 if quantization == "8da4w" else None)
    decoder = quantize_weights(CpuTextDecoder(exact), recipe)
    pte = lower_to_xnnpack(
        {"kv_forward": (decoder, decoder.example_inputs(1))},
        {"get_max_seq_len": context_length, "get_n_layers": len(exact.layers)},
    )
    partial = folder / "decoder.partial"
    partial.write_bytes(pte)
    partial.rename(folder / "decoder.pte")
    return folder, round(time.monotonic() - started, 1)


def run_ours(folder: Path, prompt: list[int], n_tokens: int) -> tuple[float, list[int]]:
    """Tokens a second after the first, and the tokens, of one process of the runner."""
    runtime = find_runtime("x86_64", 79, simulated=True)
    request = {
        "schema_version": 2,
        "mode": "kv",
        "vision_encoder_pte": str(folder / "encoder.pte"),
        "tok_embedding_pte": str(folder / "embedding.pte"),
        "text_decoder_pte": str(folder / "decoder.pte"),
        "turns": [{"prompt_token_ids": prompt, "images": []}],
        "image_token_id": 49190,
        "stop_token_ids": [0],
        "max_new_tokens": n_tokens,
        "fixed_tokens": n_tokens,
        "warmup": 0,
        "repeat": 1,
        "record_logits": "none",
    }
    with tempfile.TemporaryDirectory() as scratch:
        asked, told = Path(scratch) / "request.json", Path(scratch) / "report.json"
        asked.write_text(json.dumps(request))
        subprocess.run(
            [runtime.path_of(runtime.executable), "--request", asked, "--report", told],
            check=True,
            capture_output=True,
            env={**os.environ, "LD_LIBRARY_PATH": str(runtime.dir)},
        )
        (turn,) = json.loads(told.read_text())["iterations"][0]["turns"]
    stamps = [stamp / 1e9 for stamp in turn["timestamps_ns"]["tokens"]]
    return _rate(stamps), turn["generated_token_ids"]


@torch.no_grad()
def run_theirs(
    model: Any, prompt: list[int], n_tokens: int, **more: Any
) -> tuple[float, list[int]]:
    """The same of transformers' `generate`."""
    times = TokenTimes()
    ids = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        do_sample=False,
        min_new_tokens=n_tokens,
        max_new_tokens=n_tokens,
        pad_token_id=0,
        eos_token_id=None,
        streamer=times,
        **more,
    )
    return _rate(times.stamps), ids[0, len(prompt) :].tolist()


def contestants(
    model: Any, prompt: list[int], args: argparse.Namespace
) -> tuple[dict[str, Callable[[], tuple[float, list[int]]]], dict[str, float | None]]:
    """What to run, by name, and the seconds of lowering by quantisation."""
    context_length = len(prompt) + args.tokens
    runs: dict[str, Callable[[], tuple[float, list[int]]]] = {}
    lowering = {}
    for quantization in args.quantization:
        folder, lowering[quantization] = write_ptes(model, quantization, context_length)
        runs[f"ours {quantization}"] = lambda folder=folder: run_ours(folder, prompt, args.tokens)
    eager_forward = model.forward
    compiled_forward = torch.compile(model.forward, fullgraph=True, dynamic=False)

    def eager() -> tuple[float, list[int]]:
        model.forward = eager_forward
        return run_theirs(model, prompt, args.tokens)

    def compiled() -> tuple[float, list[int]]:
        model.forward = compiled_forward
        return run_theirs(
            model, prompt, args.tokens, cache_implementation="static", disable_compile=True
        )

    return {**runs, "transformers eager": eager, "transformers compiled": compiled}, lowering


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quantization", nargs="*", default=["fp32", "8da8w", "8da4w"])
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    model = build_model()
    prompt = torch.randint(1, 40_000, (PROMPT_TOKENS,)).tolist()
    runs, lowering = contestants(model, prompt, args)
    tokens: dict[str, list[int]] = {}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-1, args.rounds):  # the first round warms up: compiling takes a minute
        for name, run in runs.items():
            rate, tokens[name] = run()
            print(f"round {number}: {name}: {rate:.2f} tok/s", file=sys.stderr)
            if number >= 0:
                rates[name].append(round(rate, 2))
    reference = tokens["transformers eager"]
    result = {
        **context(),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "prompt_tokens": len(prompt),
        "tokens": args.tokens,
        "lowering_s": lowering,
        "decode_tokens_per_s": {
            name: {"median": statistics.median(samples), "samples": samples}
            for name, samples in rates.items()
        },
        "first_token_that_differs_from_eager": {
            name: _first_difference(ids, reference) for name, ids in tokens.items()
        },
    }
    print(json.dumps(result, indent=2))


def _first_difference(ids: list[int], reference: list[int]) -> int | None:
    differing = [i for i, pair in enumerate(zip(ids, reference, strict=True)) if len({*pair}) > 1]
    return differing[0] if differing else None


def _sources_sha256() -> str:
    """Hash of what the decoder's PTE is made by."""
    names = ("cpu_decoder", "decoder", "decoder_weights")
    sources = [ROOT / f"models/{name}.py" for name in names]
    sources.append(ROOT / "harness/compile/xnnpack_lower.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _rate(stamps: list[float]) -> float:
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


if __name__ == "__main__":
    main()
