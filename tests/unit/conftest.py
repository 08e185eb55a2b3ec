"""Makers of small valid things, for tests to break."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from harness.bundle import (
    CaseInputs,
    Checkpoint,
    Component,
    ImageInput,
    Manifest,
    MethodFacts,
    TurnInputs,
    describe_files,
    write_manifest,
)
from harness.spec import Spec, load_spec

# How long an example takes says something of the machine only.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SPEC_TEXT = """\
schema: 1
model: tiny
family: smolvlm
checkpoint: {path: checkpoint}
recipe: {quantization: 16a8w, kv_cache_bits: 16}
max_seq_len: 128
prefill_ar_len: 32
modes: [kv, hybrid]
calibration:
  - {image: calibration.png, prompt: "What is it?"}
cases:
  blue:
    image: blue.png
    prompt: What colour is it?
    max_new_tokens: 16
    expect: {all_of: [blue], none_of: [red]}
floors:
  - {metric: e2e_tokens_per_s, mode: kv, max_seq_len: 128, sm8650_token_rate: 50,
     sm8750_token_rate: 55}
ceilings:
  - {mode: kv, max_seq_len: 128, text_decoder_pte_size_bytes: 1000}
"""

MS = 1_000_000  # nanoseconds
PTES = {
    "vision_encoder": "vision_encoder_qnn.pte",
    "tok_embedding": "tok_embedding_qnn.pte",
    "text_decoder": "hybrid_llama_qnn.pte",
}


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The harness's cache, empty and private."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(folder))
    return folder


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[..., Path]:
    """Writes a valid spec with the files it names; text replacements break it."""

    def write(*replacements: tuple[str, str], name: str = "tiny.yaml") -> Path:
        folder = tmp_path / "specs"
        (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
        (folder / "calibration.png").write_bytes(b"a picture")
        (folder / "blue.png").write_bytes(b"another picture")
        text = SPEC_TEXT
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = folder / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def spec(write_spec: Callable[..., Path]) -> Spec:
    return load_spec(write_spec())


@pytest.fixture
def make_bundle(cache_dir: Path, spec: Spec) -> Callable[..., Path]:
    """Writes a valid hybrid bundle of `spec` for a simulated SM8750 into a folder."""

    def make(folder: Path, **changes: Any) -> Path:
        (folder / "cases/blue").mkdir(parents=True)
        for number, file in enumerate(PTES.values()):
            (folder / file).write_bytes(bytes([number]) * 100)
        (folder / "tokenizer.json").write_text("{}")
        (folder / "cases/blue/pixels_0.bin").write_bytes(b"\0" * 48)
        manifest = Manifest(
            harness_version="0.1.0",
            model="tiny",
            family="smolvlm",
            checkpoint=Checkpoint("checkpoint", None, "0" * 64),
            soc="SM8750",
            htp_arch=79,
            backend="qnn",
            target="simulator",
            mode="hybrid",
            serves_modes=("kv", "hybrid"),
            max_seq_len=128,
            max_context_len=128,
            prefill_ar_len=32,
            lookahead=None,
            versions={"executorch": "1.5.1", "qnn": None},
            components={
                name: Component(
                    file,
                    "qnn",
                    spec.recipe.of(name).as_dict(),
                    {"forward": MethodFacts(None, 1, 10, None)},
                    44.0,
                    1.5,
                )
                for name, file in PTES.items()
            },
            files=describe_files(folder),
            image_token_id=7,
            stop_token_ids=(2,),
            cases={
                "blue": CaseInputs(
                    spec.cases["blue"].inputs_sha256,
                    (
                        TurnInputs(
                            "What colour is it?",
                            (1, 7, 3),
                            (ImageInput("cases/blue/pixels_0.bin", (1, 3, 2, 2)),),
                            (5, 2),
                            "blue",
                        ),
                    ),
                    None,
                )
            },
        )
        write_manifest(folder, replace(manifest, **changes))
        return folder

    return make


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """Changes the JSON of a bundle's manifest in place."""

    def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        path = folder / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def turn_document() -> dict[str, Any]:
    """A turn of the runner's report: three tokens, 10 and 30 ms apart, 100 ms after the start."""
    return {
        "prompt_tokens": 40,
        "image_tokens": 16,
        "generated_token_ids": [5, 6, 2],
        "stop_reason": "stop_token",
        "timestamps_ns": {
            "inference_start": 1000 * MS,
            "images": [[1000 * MS, 1020 * MS]],
            "prefill": [1020 * MS, 1100 * MS],
            "prefill_steps": [[1020 * MS, 1060 * MS], [1060 * MS, 1100 * MS]],
            "tokens": [1100 * MS, 1110 * MS, 1140 * MS],
            "inference_end": 1150 * MS,
        },
        "execute_ns": {
            "vision_encoder": [19 * MS],
            "prefill": [38 * MS, 37 * MS],
            "decode": [9 * MS, 29 * MS],
        },
        "decode_steps": 2,
        "lookahead": None,
        "requantized_entries": 0,
        "logits": None,
    }


@pytest.fixture
def report_document() -> dict[str, Any]:
    """A runner's report of one turn."""
    return {
        "schema_version": 2,
        "status": "ok",
        "error": None,
        "settings": {
            "mode": "hybrid",
            "lookahead": None,
            "sampling": None,
            "warmup": 0,
            "repeat": 1,
            "fixed_tokens": None,
            "max_new_tokens": 16,
            "record_logits": "none",
            "shared_memory": "ordinary",
            "shared_memory_reason": "no libcdsprpc.so",
        },
        "context_length": 128,
        "max_seq_len": 128,
        "prefill_ar_len": 32,
        "decode_ar_len": 1,
        "load_ns": {
            "start": 0,
            "vision_encoder": [10 * MS, 20 * MS],
            "tok_embedding": [20 * MS, 25 * MS],
            "text_decoder": [25 * MS, 60 * MS],
        },
        "iterations": [{"warmup": False, "turns": [turn_document()]}],
        "memory": {
            "rss_after_load_bytes": 2**20,
            "rss_after_prefill_bytes": 2**21,
            "peak_rss_bytes": 3 * 2**20,
        },
        "cpu": {"affinity": [0, 1], "frequency_khz": [2_000_000, 2_000_000]},
        "libraries": {"libQnnHtp.so": "2.49.40"},
        "build": {"compiler": "g++", "build_type": "Release", "abi": "x86_64"},
    }
