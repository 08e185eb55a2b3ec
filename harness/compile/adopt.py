"""A bundle of PTEs that ExecuTorch's own `llama.py` wrote: checked, and given case inputs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.bundle import Bundle, load_bundle
from harness.cache import cache_root, file_sha256, locked, make_cache_dir, publish_dir
from harness.compile.bundle import assemble, lock_of
from harness.compile.job import PREPARE
from harness.compile.plan import BundleRequest, find_checkpoint, plan_jobs
from harness.compile.process import CompilerProcesses, OnStage
from harness.compile.stack import find_compiler_stack
from harness.errors import BundleMismatch
from harness.foreign import ForeignFolder, check_foreign
from harness.manifest import MANIFEST_NAME, Component, MethodFacts
from harness.pte_contents import Contents, read_contents
from harness.socs import find_soc


def adopt_foreign(
    found: ForeignFolder, request: BundleRequest, on_stage: OnStage, tell: Callable[[str], None]
) -> Bundle:
    """A bundle in the cache with the folder's PTEs and the spec's prepared cases.

    Args:
        request: what is about to be run; its mode must be one that the PTEs serve.

    Raises:
        BundleMismatch: the PTEs are not what the spec describes (`harness.foreign`).
        BundleCorrupt, CompileError: they cannot be read, or the cases not be prepared.
    """
    if request.mode not in serves(found):
        raise BundleMismatch(
            f"checking the PTEs in {found.dir}",
            f"its decoder is for mode {found.mode}, not {request.mode}",
            expected=f"{request.mode}_llama_qnn.pte",
            hint=f"--mode {found.mode}",
        )
    request = replace(request, mode=found.mode)
    stack = find_compiler_stack()
    job = plan_jobs(request, find_checkpoint(request.spec.checkpoint))[PREPARE]
    hashes = {name: file_sha256(path) for name, path in found.paths.items()}
    key = [hashes, job.key(dict(stack.versions)), request.soc_name, request.target]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    final = cache_root() / "adopted" / f"{request.spec.model}-{digest}"
    with locked(lock_of(final), f"adopting the PTEs in {found.dir}", tell):
        if not (final / MANIFEST_NAME).is_file():
            read = read_contents(list(found.paths.values()))
            contents = {name: read[path] for name, path in found.paths.items()}
            check_foreign(found, contents, request.spec, find_soc(request.soc_name))
            _check_target(found, contents, request)
            parts_dir = make_cache_dir(cache_root() / "components")
            prepared = CompilerProcesses(stack, parts_dir, on_stage).run({PREPARE: job})[PREPARE]
            with publish_dir(final) as folder:
                for path in found.paths.values():
                    _link_or_copy(path, folder / path.name)
                components = {name: _component(found, name, contents[name]) for name in contents}
                assemble(request, job, components, prepared, folder)
    return load_bundle(final)


def serves(found: ForeignFolder) -> tuple[str, ...]:
    """The modes in which these PTEs can run."""
    return ("kv", "hybrid") if found.mode == "hybrid" else (found.mode,)


def _check_target(
    found: ForeignFolder, contents: Mapping[str, Contents], request: BundleRequest
) -> None:
    """The x86 simulator refuses graphs that share weights."""
    sharing = [name for name, pte in contents.items() if pte.qnn and pte.qnn.share_weights]
    if request.target == "simulator" and sharing:
        raise BundleMismatch(
            f"checking the PTEs in {found.dir}",
            f"the graphs of {', '.join(sharing)} share weights, which the simulator cannot load",
            expected="PTEs exported without weight sharing",
            hint="run them on a phone",
        )


def _component(found: ForeignFolder, name: str, contents: Contents) -> Component:
    """What is known of a PTE that somebody else made: not its recipe, traffic or exactness."""
    methods = {
        method.name: MethodFacts(
            ar_len=None if name == "vision_encoder" else method.inputs[0].shape[1],
            delegate_calls=method.delegate_calls,
            dram_read_bytes=None,
            dram_write_bytes=None,
        )
        for method in contents.methods
    }
    return Component(
        file=found.paths[name].name,
        backend="qnn",
        recipe={},
        methods=methods,
        sqnr_db=None,
        compile_s=None,
        layers=contents.constants.get("get_n_layers"),
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for the file where the file system allows it; a gigabyte less."""
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)
