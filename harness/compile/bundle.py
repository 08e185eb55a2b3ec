"""From a spec to a bundle: plan, compile what is not cached, assemble. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from harness import __version__
from harness.bundle import Bundle, load_bundle
from harness.cache import cache_root, locked, make_cache_dir, publish_dir, sweep_leftovers
from harness.compile.job import PREPARE, RESULT_NAME, Job
from harness.compile.plan import BundleRequest, find_checkpoint, plan_jobs
from harness.compile.prepared import PreparedCases
from harness.compile.process import CompilerProcesses, OnStage
from harness.compile.stack import CompilerStack, find_compiler_stack
from harness.errors import BundleError, InputError
from harness.manifest import (
    MANIFEST_NAME,
    TOKENIZER_NAME,
    Checkpoint,
    Component,
    Manifest,
    describe_files,
    write_manifest,
)
from harness.vocabulary import COMPONENTS

__all__ = ["BundleRequest", "compile_bundle"]

_Result = TypeVar("_Result")


def _silent(_: str) -> None:
    """For callers that show nothing."""


def compile_bundle(
    request: BundleRequest,
    out: Path | None,
    on_stage: OnStage,
    tell: Callable[[str], None] = _silent,
) -> Bundle:
    """The bundle of a request, from the cache or compiled now.

    Args:
        out: a folder to write it to (must not exist or be empty); None for the cache.
        on_stage: told of each stage of each component, from several threads.
        tell: called with a sentence when there is a wait.

    Raises:
        CompileError: the stack is incomplete, or a component cannot be compiled.
        InputError: a picture is missing, or `out` holds something.
    """
    if out is not None:
        _check_free(request, out)
    stack = find_compiler_stack(request.backend)
    jobs = plan_jobs(request, find_checkpoint(request.spec.checkpoint))
    final = out or _cached_path(request, jobs, stack)
    with locked(lock_of(final), f"compiling {request}", tell):
        cached = _load_or_remove(final, tell)
        if cached is not None:
            return cached
        parts_dir = make_cache_dir(cache_root() / "components")
        sweep_leftovers(parts_dir)
        sweep_leftovers(final.parent)
        parts = CompilerProcesses(stack, parts_dir, on_stage).run(jobs)
        if out is not None and out.exists():
            out.rmdir()  # it is empty, and a folder cannot be renamed over one
        with publish_dir(final) as folder:
            components = {name: _read_result(parts[name], Component) for name in COMPONENTS}
            for name, component in components.items():
                shutil.copy2(parts[name] / component.file, folder / component.file)
            assemble(request, jobs[PREPARE], components, parts[PREPARE], folder)
    return load_bundle(final)


def _check_free(request: BundleRequest, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise InputError(
            f"compiling {request}", f"{out} {what}", hint="name a new folder with --out"
        )


def _load_or_remove(final: Path, tell: Callable[[str], None]) -> Bundle | None:
    """The bundle that is there; a broken one is removed, since we can make it anew."""
    if not (final / MANIFEST_NAME).is_file():
        return None
    try:
        return load_bundle(final)
    except BundleError as err:
        tell(f"making anew what is broken in the cache: {err.problem}")
        shutil.rmtree(final)
        return None


def _cached_path(request: BundleRequest, jobs: Mapping[str, Job], stack: CompilerStack) -> Path:
    keys = {part: job.key(dict(stack.versions)) for part, job in jobs.items()}
    key = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:16]
    name = f"{request.mode}-{request.target}-{key}"
    return cache_root() / "bundles" / request.spec.model / request.soc_name / name


def lock_of(final: Path) -> Path:
    """A lock in the cache, so that nothing but the bundle lands in a folder of the user's."""
    name = hashlib.sha256(str(final.absolute()).encode()).hexdigest()[:16]
    return cache_root() / "locks" / f"bundle-{name}.lock"


def assemble(
    request: BundleRequest,
    prepare: Job,
    components: Mapping[str, Component],
    prepared_dir: Path,
    folder: Path,
) -> None:
    """Finish a bundle in `folder`, where its PTEs lie already: cases, tokenizer, manifest.

    Args:
        prepare: the job that prepared the cases, and `prepared_dir` its result.
    """
    shutil.copy2(prepared_dir / TOKENIZER_NAME, folder / TOKENIZER_NAME)
    if (prepared_dir / "cases").is_dir():
        shutil.copytree(prepared_dir / "cases", folder / "cases")
    prepared = _read_result(prepared_dir, PreparedCases)
    write_manifest(folder, _manifest(request, prepare, components, prepared, folder))


def _manifest(
    request: BundleRequest,
    prepare: Job,
    components: Mapping[str, Component],
    prepared: PreparedCases,
    folder: Path,
) -> Manifest:
    """What is in `folder`."""
    spec, checkpoint = request.spec, request.spec.checkpoint
    soc = request.soc if request.backend == "qnn" else None
    name = checkpoint.hub if checkpoint.path is None else checkpoint.path.name
    if checkpoint.seed is not None:
        name = f"{name}, random weights of seed {checkpoint.seed}"
    return Manifest(
        harness_version=__version__,
        model=spec.model,
        family=spec.family,
        checkpoint=Checkpoint(str(name), checkpoint.revision, sha256=prepare.checkpoint_sha256),
        soc=request.soc_name,
        htp_arch=0 if soc is None else soc.htp_arch,
        backend=request.backend,
        target=request.target,
        mode=request.mode,
        serves_modes=("kv", "hybrid") if request.mode == "hybrid" else (request.mode,),
        max_seq_len=spec.max_seq_len,
        max_context_len=spec.max_context_len,
        prefill_ar_len=spec.prefill_ar_len,
        lookahead=spec.lookahead if request.mode == "lookahead" else None,
        versions=find_compiler_stack(request.backend).versions,
        components=components,
        files=describe_files(folder),
        image_token_id=prepared.image_token_id,
        stop_token_ids=prepared.stop_token_ids,
        cases={
            name: replace(inputs, inputs_sha256=spec.inputs_sha256[name])
            for name, inputs in prepared.cases.items()
        },
    )


def _read_result(folder: Path, kind: type[_Result]) -> _Result:
    return TypeAdapter(kind).validate_json((folder / RESULT_NAME).read_bytes())
