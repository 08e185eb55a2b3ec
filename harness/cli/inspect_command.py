"""The command `inspect`: what a bundle, a folder of PTEs or one PTE holds."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.cache import file_sha256
from harness.errors import InputError
from harness.manifest import MANIFEST_NAME, Component, Manifest, parse_manifest
from harness.pte_contents import Contents, MethodFacts, TensorFacts, read_contents
from harness.roofline import dram_bounds
from harness.socs import load_socs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("path", type=Path, help="a bundle, a folder of PTEs, one PTE, a manifest")


def main(args: argparse.Namespace) -> int:
    """Print it."""
    path: Path = args.path
    for line in inspect(path):
        print(line)
    return 0


def inspect(path: Path) -> Iterator[str]:
    """The lines to print.

    Raises:
        InputError: nothing is there, or no PTE in the folder.
        BundleError: a manifest or a PTE is unreadable.
    """
    manifest_path = path / MANIFEST_NAME if path.is_dir() else path
    if manifest_path.name.endswith(".json") and manifest_path.is_file():
        manifest = parse_manifest(manifest_path.read_bytes(), manifest_path)
        yield from _manifest_lines(manifest)
        path = manifest_path.parent
    ptes = sorted(path.glob("*.pte")) if path.is_dir() else [path]
    if manifest_path.is_file() and not ptes:
        return  # a manifest that was kept without its files
    if not ptes or not all(pte.is_file() for pte in ptes):
        what = "no PTE is there" if path.is_dir() else "there is no such file"
        raise InputError(f"inspecting {path}", what, expected="a bundle, or *.pte")
    for pte, contents in read_contents(ptes).items():
        yield from _pte_lines(pte, contents)


def _manifest_lines(manifest: Manifest) -> Iterator[str]:
    yield f"{manifest.model} ({manifest.checkpoint.source}) for {manifest.soc}, {manifest.target}"
    yield (
        f"  mode {manifest.mode}, max_seq_len {manifest.max_seq_len}, "
        f"prefill_ar_len {manifest.prefill_ar_len}, HTP V{manifest.htp_arch}"
    )
    for name, component in manifest.components.items():
        yield from _component_lines(manifest, name, component)
    yield from _roofline_lines(manifest)


def _component_lines(manifest: Manifest, name: str, component: Component) -> Iterator[str]:
    entry = manifest.files[component.file]
    yield f"{name}: {component.file}, {entry.size_bytes:,} bytes, sha256 {entry.sha256}"
    geometry = [
        f"{value:,} {what}"
        for what, value in (("layers", component.layers), ("parameters", component.parameters))
        if value is not None
    ]
    if geometry:
        yield f"  {', '.join(geometry)}"
    if component.sqnr_db is not None:
        yield f"  {component.sqnr_db:.1f} dB SQNR on the simulator"
    if component.stage_s:
        stages = ", ".join(f"{stage} {took:.0f} s" for stage, took in component.stage_s.items())
        yield f"  compiled in {component.compile_s or 0:.0f} s: {stages}"
    for method_name, method in component.methods.items():
        traffic = "unknown"
        if method.dram_read_bytes is not None:
            traffic = f"{method.dram_read_bytes:,} read, {method.dram_write_bytes or 0:,} written"
        yield (
            f"  {method_name}: {_counted(method.delegate_calls, 'delegate call')}, "
            f"DRAM bytes per inference: {traffic}"
        )


def _roofline_lines(manifest: Manifest) -> Iterator[str]:
    """The bounds on every SoC of this HTP arch: the graphs, and so the traffic, are theirs."""
    yield "DRAM bound:"
    for soc in load_socs().values():
        if soc.htp_arch != manifest.htp_arch:
            continue
        for mode in manifest.serves_modes:
            bounds = dram_bounds(manifest, soc, mode)
            shown = ", ".join(f"{name} <= {bound:.1f}" for name, bound in bounds.items())
            yield f"  {soc.id} ({soc.dram_gb_per_s} GB/s), {mode}: {shown or 'unknown'}"


def _pte_lines(path: Path, contents: Contents) -> Iterator[str]:
    yield f"{path.name}: {path.stat().st_size:,} bytes, sha256 {file_sha256(path)}"
    if contents.qnn is not None:
        options = contents.qnn
        yield (
            f"  compiled for {options.soc}, HTP V{options.htp_arch}, "
            f"weights {'shared' if options.share_weights else 'not shared'} between graphs, "
            f"{'shared' if options.shared_buffer else 'copied'} buffers"
        )
    for method in contents.methods:
        yield from _method_lines(method)
    encodings = {name: value for name, value in contents.constants.items() if _is_encoding(name)}
    for name, value in contents.constants.items():
        if name not in encodings:
            yield f"  {name} = {value}"
    for name, value in encodings.items():
        yield f"  encoding {name} = {value}"


def _is_encoding(name: str) -> bool:
    return "scale" in name or "zero_point" in name or "quant_attr" in name


def _method_lines(method: MethodFacts) -> Iterator[str]:
    kernels = _counted(len(method.cpu_kernels), "CPU kernel")
    yield f"  {method.name}: {_counted(method.delegate_calls, 'delegate call')}, {kernels}"
    for what, tensors in (("input", method.inputs), ("output", method.outputs)):
        yield f"    {_counted(len(tensors), what)}: {_tensors(tensors)}"


def _tensors(tensors: Sequence[TensorFacts]) -> str:
    """In the order of the signature, equal neighbours counted."""
    counts = Counter(map(str, tensors))
    return ", ".join(f"{count} x {text}" if count > 1 else text for text, count in counts.items())


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
