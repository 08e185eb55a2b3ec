"""Compiles a published geometry with random weights; prints time, memory, sizes and bounds.

    python benchmarks/full_width.py smolvlm_500m|internvl3_1b [--soc SM8750]
        [--target silicon] [--out DIR] [--keep FILE]

Starts with an empty cache. `--keep` copies the bundle's manifest, which holds the same facts:
`python -m harness inspect FILE` prints them. Prints one JSON object; stages go to standard
error as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from context import context

from harness.bundle import Bundle
from harness.compile import BundleRequest, Stage, compile_bundle
from harness.pte_contents import read_contents
from harness.roofline import dram_bounds
from harness.socs import find_soc
from harness.spec import find_spec

SPECS = Path(__file__).resolve().parent / "full_width"
MODELS = ("smolvlm_500m", "internvl3_1b")


class Memory(threading.Thread):
    """Twice a second, the resident memory of this process and all below it, added up."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.peak_bytes_of_one = 0

    def run(self) -> None:
        while True:
            sizes = resident_bytes(os.getpid())
            self.peak_bytes = max(self.peak_bytes, sum(sizes))
            self.peak_bytes_of_one = max(self.peak_bytes_of_one, *sizes)
            time.sleep(0.5)


def resident_bytes(root: int) -> list[int]:
    """Resident bytes of a process and of each of its descendants (Linux)."""
    parents, sizes = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(path.parent.name)
        parents[pid], sizes[pid] = int(fields[1]), int(fields[21]) * resource.getpagesize()
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return [sizes.get(pid, 0) for pid in family]


def facts(bundle: Bundle) -> dict[str, object]:
    """What the manifest says of each component, and the signatures of its PTE."""
    manifest = bundle.manifest
    contents = read_contents([bundle.component_path(name) for name in manifest.components])
    components = {}
    for name, part in manifest.components.items():
        pte = contents[bundle.component_path(name)]
        components[name] = {
            "layers": part.layers,
            "parameters": part.parameters,
            "file": part.file,
            "size_bytes": manifest.files[part.file].size_bytes,
            "sha256": manifest.files[part.file].sha256,
            "compile_s": part.compile_s,
            "stage_s": part.stage_s,
            "methods": {
                method.name: {
                    "delegate_calls": method.delegate_calls,
                    "cpu_kernels": len(method.cpu_kernels),
                    "inputs": len(method.inputs),
                    "outputs": len(method.outputs),
                    "dram_read_bytes": part.methods[method.name].dram_read_bytes,
                    "dram_write_bytes": part.methods[method.name].dram_write_bytes,
                }
                for method in pte.methods
            },
        }
    bounds = dram_bounds(manifest, find_soc(manifest.soc), manifest.mode)
    return {"components": components, "dram_bound": bounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--soc", default="SM8750")
    parser.add_argument("--target", default="silicon", choices=("silicon", "simulator"))
    parser.add_argument("--out", type=Path, help="where the bundle goes; default: nowhere")
    parser.add_argument("--keep", type=Path, help="where a copy of the manifest goes")
    args = parser.parse_args()
    began, described = time.monotonic(), context()

    def on_stage(stage: Stage) -> None:
        elapsed = time.monotonic() - began
        print(f"{elapsed:7.1f} s  {stage.part}: {stage.stage}", file=sys.stderr, flush=True)

    memory = Memory()
    memory.start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VLM_HARNESS_CACHE"] = str(Path(folder) / "cache")
        spec = find_spec(SPECS / f"{args.model}_random.yaml")
        request = BundleRequest(spec, find_soc(args.soc), "hybrid", args.target)
        bundle = compile_bundle(request, args.out or Path(folder) / "bundle", on_stage)
        wall_s, peak = time.monotonic() - began, (memory.peak_bytes, memory.peak_bytes_of_one)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = {
            **described,
            "model": spec.model,
            "soc": args.soc,
            "mode": "hybrid",
            "target": args.target,
            "wall_s": round(wall_s, 1),
            "cpu_s": round(used.ru_utime + used.ru_stime, 1),
            "peak_memory_bytes": peak[0],
            "peak_memory_of_one_process_bytes": peak[1],
            **facts(bundle),
        }
        if args.keep:
            shutil.copyfile(bundle.dir / "manifest.json", args.keep)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
