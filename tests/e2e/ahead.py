"""Compiles what this folder's tests will ask for, while other tests run.

`pytest tests` starts it as a process of the lowest priority. It only fills the cache: whoever
asks for a component that is under way waits for it, and what is missing is compiled then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cache import cache_root, make_cache_dir
from harness.compile import BundleRequest
from harness.compile.job import PREPARE
from harness.compile.plan import find_checkpoint, plan_jobs
from harness.compile.process import CompilerProcesses
from harness.compile.stack import find_compiler_stack
from harness.socs import find_soc, specs_dir
from harness.spec import load_spec

sys.path.insert(0, str(Path(__file__).parent))
import agreement
import fidelity
from float_cpu import float_requests, float_spec
from laboratory import AT_ONCE, MODELS, SOC, Build, request_for

LOWEST_PRIORITY = 19


def builds() -> list[Build]:
    """Of the simulated phone, in the order in which they are asked for."""
    asked = [each.build for each in fidelity.combinations()]
    graphs = [each.graphs for each in agreement.combinations()]
    made = {each.build for each in graphs}
    for each in graphs:
        asked += [each.build, agreement.kv_build_of(each, made)]
    return list(dict.fromkeys(asked))


def requests() -> Iterator[BundleRequest]:
    """Everything that takes more than some seconds."""
    specs = {model: load_spec(specs_dir() / f"{model}.yaml") for model in MODELS}
    for build in builds():
        yield request_for(build, specs[build.model])
    for spec in specs.values():
        yield BundleRequest(spec, find_soc(SOC), "hybrid", "silicon")
        yield from float_requests(float_spec(spec))


def compile_components(request: BundleRequest) -> None:
    """Without the cases, which each test has of its own."""
    jobs = plan_jobs(request, find_checkpoint(request.spec.checkpoint))
    components = {part: job for part, job in jobs.items() if part != PREPARE}
    stack = find_compiler_stack(request.backend)
    folder = make_cache_dir(cache_root() / "components")
    CompilerProcesses(stack, folder, lambda stage: None).run(components)


def main() -> None:
    os.nice(LOWEST_PRIORITY)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(compile_components, request) for request in requests()]:
            done.result()


if __name__ == "__main__":
    main()
