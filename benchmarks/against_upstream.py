"""Our way to a bundle against ExecuTorch's own, same model, same run: wall and CPU seconds.

    python -m benchmarks.against_upstream [--layers 4] [--vision-layers 2] [--image-size 256]
        [--vocab-size 4096] [--max-seq-len 256] [--prefill-ar-len 32] [--soc SM8750]

SmolVLM-500M's widths (decoder: 15 heads and 5 KV heads of 64, hidden size 960; vision tower: 768)
with few layers and random weights, hybrid, for silicon: vision encoder, token embedding, decoder.
Picture, vocabulary and context are small by default: they cost both sides time in which nothing
is compiled (512, 49280 and 1024 are the published ones). Ours starts with an empty cache; each
side is one command in a process of its own, one after the other. Prints one JSON object, in which
stands what upstream had to be given (`stand_ins`) and what the sides do not share (`differences`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.context import ROOT, context
from benchmarks.upstream.job import Question, UpstreamJob, run_upstream
from harness.pte_contents import read_contents
from harness.spec import find_spec

GEOMETRY = ROOT / "models" / "configs" / "SmolVLM-500M-Instruct"
FULL_SPEC = ROOT / "benchmarks" / "full_width" / "smolvlm_500m_random.yaml"
DIFFERENCES = (
    "upstream calibrates a third decoder graph, as wide as the context, and saves it",
    "upstream has one prompt to calibrate with, ours that and the float model's reply to it",
    "ours prepares the inputs and float reply of a case, too",
    "ours compiles components side by side in processes, upstream one after the other in one",
    "upstream's vision encoder has linear layers, its position ids are its own",
    "both with one OpenMP thread per process",
)


def write_checkpoint(args: argparse.Namespace, folder: Path) -> Path:
    """A checkpoint as transformers writes it, with seeded random weights, for both sides."""
    config_dir, checkpoint_dir = folder / "config", folder / "checkpoint"
    shutil.copytree(GEOMETRY, config_dir)
    last = args.vocab_size - 1
    text = {"num_hidden_layers": args.layers, "vocab_size": args.vocab_size, "eos_token_id": last}
    vision = {"num_hidden_layers": args.vision_layers, "image_size": args.image_size}
    side = {"longest_edge": args.image_size}
    change(config_dir / "config.json", {"image_token_id": last - 1})
    change(config_dir / "config.json", {"text_config": text, "vision_config": vision})
    change(config_dir / "generation_config.json", {"eos_token_id": last})
    change(config_dir / "preprocessor_config.json", {"max_image_size": side, "size": side})
    # In a process of its own: this one stays small beside the two that are measured.
    command = [sys.executable, "-P", "-m", "benchmarks.upstream.checkpoint"]
    subprocess.run(
        [*command, str(config_dir), str(checkpoint_dir)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=sys.stderr,
    )
    return checkpoint_dir


def change(path: Path, values: Mapping[str, Any]) -> None:
    """Set keys of a JSON file; of a section only those that are named."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(document), encoding="utf-8")


def write_spec(checkpoint_dir: Path, args: argparse.Namespace, path: Path) -> Path:
    """The spec of the full-width benchmark with this checkpoint and these lengths."""
    changed = {
        "model": f"smolvlm_500m_{args.layers}_layers",
        "checkpoint": f"{{path: {checkpoint_dir}}}",
        "max_seq_len": args.max_seq_len,
        "prefill_ar_len": args.prefill_ar_len,
    }
    lines = FULL_SPEC.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key = line.partition(":")[0]
        if key in changed:
            lines[number] = f"{key}: {changed[key]}"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def compile_ours(spec_path: Path, soc: str, folder: Path) -> dict[str, Any]:
    """Time of the user's command with an empty cache, and what it made."""
    out = folder / "bundle"
    command = [sys.executable, "-m", "harness", "compile", str(spec_path), "--soc", soc]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [*command, "--mode", "hybrid", "--target", "silicon", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "VLM_HARNESS_CACHE": str(folder / "cache")},
        check=True,
        stdout=sys.stderr,
    )
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["components"]
    return {
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "component_s": {name: part["compile_s"] for name, part in parts.items()},
        "ptes": ptes(out),
    }


def compile_upstreams(
    checkpoint_dir: Path, spec_path: Path, args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Time of upstream's path on the same checkpoint, and what it made."""
    seen = [
        Question(f"calibration_{i}", str(image.locate()), sample.prompt, 0)
        for i, sample in enumerate(find_spec(spec_path).calibration)
        for image in sample.images
    ]
    job = UpstreamJob(
        checkpoint=str(checkpoint_dir),
        soc=args.soc,
        simulator=False,
        max_seq_len=args.max_seq_len,
        prefill_ar_len=args.prefill_ar_len,
        calibration=seen,
    )
    run = run_upstream(job, folder)
    return {
        "wall_s": round(run.wall_s, 1),
        "cpu_s": round(run.cpu_s, 1),
        **{name: run.result[name] for name in ("stand_ins", "masked_softmax")},
        "ptes": ptes(run.pte_dir),
    }


def ptes(folder: Path) -> dict[str, object]:
    """Size and signatures of each PTE, which show that both sides did the same work."""
    contents = read_contents(sorted(folder.glob("*.pte")))
    return {
        path.name: {
            "size_bytes": path.stat().st_size,
            "methods": {
                method.name: {
                    "first_input": str(method.inputs[0]),
                    "inputs": len(method.inputs),
                    "outputs": len(method.outputs),
                    "delegate_calls": method.delegate_calls,
                    "cpu_kernels": len(method.cpu_kernels),
                }
                for method in pte.methods
            },
        }
        for path, pte in contents.items()
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vision-layers", type=int, default=2)
    parser.add_argument("--soc", default="SM8750")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--max-seq-len", type=int, default=256)
    parser.add_argument("--prefill-ar-len", type=int, default=32)
    return parser.parse_args()


def main() -> None:
    args, described = parse_arguments(), context()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint_dir = write_checkpoint(args, folder)
        spec_path = write_spec(checkpoint_dir, args, folder / "spec.yaml")
        ours = compile_ours(spec_path, args.soc, folder)
        print(json.dumps({"ours": ours}), file=sys.stderr, flush=True)
        upstreams = compile_upstreams(checkpoint_dir, spec_path, args, folder)
    result = {
        **described,
        **{key: value for key, value in vars(args).items() if key not in described},
        "mode": "hybrid",
        "target": "silicon",
        "quantization": "16a8w, 16-bit KV cache",
        "ours": ours,
        "upstream": upstreams,
        "ratio_wall": round(upstreams["wall_s"] / ours["wall_s"], 2),
        "ratio_cpu": round(upstreams["cpu_s"] / ours["cpu_s"], 2),
        "differences": DIFFERENCES,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
