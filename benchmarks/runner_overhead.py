"""What the native runner itself costs per decoded token, and per switch from prefill to decode.

    python benchmarks/runner_overhead.py [--contexts 256 1024 8192] [--layers 8 32] [--processes 9]

Stubbed: the runner's own code at SmolVLM-500M's geometry (5 KV heads of 64, 16 bit, vocabulary
49,280) around graphs that do nothing, beside a bare loop that stores one token's K and V.
`overhead_us` is the time outside Method::execute less the sampler's and the bare loop's.
Which physical pages a process gets moves either side by tens of microseconds, so each row is
the median of several processes, and `overhead_us_range` their smallest and largest.
Real: the whole runner on a small CPU model; time between tokens less the decoder's execution,
so the token embedding's execution and the sampler are in it. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from context import ROOT, context

from harness.runtime.toolchain import find_toolchain

CONTEXTS = (256, 512, 1024, 2048, 4096, 8192)
LAYERS = (8, 32)


def build(build_dir: Path) -> Path:
    """The runner and the benchmark, in a build folder that may be used again."""
    toolchain = find_toolchain()
    configure = [
        *(toolchain.cmake, "-G", "Ninja", "-S", ROOT / "cpp_runner", "-B", build_dir),
        f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
        f"-DCMAKE_CXX_COMPILER={toolchain.compiler}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DVLM_RUNNER_BENCHMARKS=ON",
        f"-Dexecutorch_DIR={toolchain.packages.executorch_cmake_dir}",
        f"-DNLOHMANN_JSON_INCLUDE_DIR={toolchain.json_include_dir}",
    ]
    targets = ["--target", "runner_overhead", "vlm_runner"]
    for argv in (configure, [toolchain.cmake, "--build", build_dir, *targets]):
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return build_dir


def stubbed(executable: Path, length: int, count: int, processes: int) -> dict[str, object]:
    """Medians at one context length and layer count."""
    argv = [executable, str(length), str(count)]
    rows = [json.loads(subprocess.check_output(argv)) for _ in range(processes)]
    overheads = [row["overhead_us"] for row in rows]
    return {
        **{name: statistics.median(row[name] for row in rows) for name in rows[0]},
        "overhead_us_range": [min(overheads), max(overheads)],
    }


def real(build_dir: Path, folder: Path) -> dict[str, float]:
    """Microseconds between tokens outside the decoder's execution, on a two-layer toy."""
    subprocess.run([sys.executable, "-m", "tests.cpp.toy", "repeats", folder], cwd=ROOT, check=True)
    expected = json.loads((folder / "expected.json").read_text())
    request = {
        "schema_version": 2,
        "mode": "kv",
        "vision_encoder_pte": "vision_encoder.pte",
        "tok_embedding_pte": "tok_embedding.pte",
        "text_decoder_pte": "text_decoder.pte",
        "turns": [{"prompt_token_ids": [1, 2, 3], "images": []}],
        "image_token_id": expected["image_token_id"],
        "stop_token_ids": [],
        "max_new_tokens": 100,
        "fixed_tokens": 100,
        "warmup": 2,
        "repeat": 20,
    }
    (folder / "request.json").write_text(json.dumps(request))
    argv = [build_dir / "vlm_runner", "--request", "request.json", "--report", "report.json"]
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((folder / "report.json").read_text())
    samples = []
    for iteration in report["iterations"][request["warmup"] :]:
        (turn,) = iteration["turns"]
        tokens = turn["timestamps_ns"]["tokens"]
        outside_ns = tokens[-1] - tokens[0] - sum(turn["execute_ns"]["decode"])
        samples.append(outside_ns / turn["decode_steps"] / 1e3)
    return {"token_us_median": statistics.median(samples), "token_us_max": max(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, nargs="+", default=list(CONTEXTS))
    parser.add_argument("--layers", type=int, nargs="+", default=list(LAYERS))
    parser.add_argument("--processes", type=int, default=9)
    parser.add_argument("--build-dir", type=Path, help="kept, for a next run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_dir = build(args.build_dir or Path(folder) / "build")
        executable = build_dir / "benchmarks" / "runner_overhead"
        rows = [
            stubbed(executable, length, count, args.processes)
            for count in args.layers
            for length in args.contexts
        ]
        toy_dir = Path(folder) / "toy"
        toy_dir.mkdir()
        figures = {"stubbed": rows, "real": real(build_dir, toy_dir)}
    print(json.dumps({**context(), **figures}, indent=2))


if __name__ == "__main__":
    main()
