"""Compiles what this folder's tests will ask for, while other tests run.

    python -m tests.e2e.ahead test_fidelity.py ...

`pytest tests` starts it as a process of the lowest priority. It only fills the cache: whoever
asks for a component that is under way waits for it, and what is missing is compiled then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
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


def builds_for_agreement() -> list[Build]:
    """Each combination's, and that of the mode `kv` beside it."""
    graphs = [each.graphs for each in agreement.combinations()]
    made = {each.build for each in graphs}
    return [build for each in graphs for build in (each.build, agreement.kv_build_of(each, made))]


def requests(files: Collection[str]) -> Iterator[BundleRequest]:
    """What takes more than some seconds, in the order in which it is asked for.

    Args:
        files: the names of this folder's test files that will run.
    """
    specs = {model: load_spec(specs_dir() / f"{model}.yaml") for model in MODELS}
    builds: list[Build] = []
    if "test_fidelity.py" in files:
        builds += [each.build for each in fidelity.combinations()]
    if "test_agreement.py" in files:
        builds += builds_for_agreement()
    for build in dict.fromkeys(builds):
        yield request_for(build, specs[build.model])
    for spec in specs.values():
        if "test_hot_phone.py" in files:
            yield BundleRequest(spec, find_soc(SOC), "hybrid", "silicon")
        if "test_cpu_agreement.py" in files:
            yield from float_requests(float_spec(spec))


def compile_components(request: BundleRequest) -> None:
    """Without the cases, which each test has of its own."""
    jobs = plan_jobs(request, find_checkpoint(request.spec.checkpoint))
    components = {part: job for part, job in jobs.items() if part != PREPARE}
    stack = find_compiler_stack(request.backend)
    folder = make_cache_dir(cache_root() / "components")
    CompilerProcesses(stack, folder, lambda stage: None).run(components)


def main(files: Collection[str]) -> None:
    os.nice(LOWEST_PRIORITY)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(compile_components, request) for request in requests(files)]:
            done.result()


if __name__ == "__main__":
    main(sys.argv[1:])
