"""A compiled model, a virtual phone and the real runner, shared by the tests of this folder.

They come last in a session, and what they need is compiled while the others run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.bundle import Bundle
from harness.cache import cache_root, make_cache_dir
from harness.compile import BundleRequest, compile_bundle
from harness.device import Device, open_device, start_private_server
from harness.runtime import Runtime, find_runtime
from harness.socs import find_soc, specs_dir
from harness.spec import Spec, load_spec
from harness.virtual_phone import start_virtual_phone

SOC = "SM8750"
HERE = Path(__file__).parent


def is_here(item: pytest.Item) -> bool:
    """Whether a test belongs to this folder."""
    return HERE in item.path.parents


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """This folder last, the rest as it was."""
    items.sort(key=is_here)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Compiles for this folder's tests behind the others, if there are others."""
    behind = not is_here(session.items[0]) if session.items else False
    if not behind or session.config.option.collectonly:
        return (yield)
    log = make_cache_dir(cache_root() / "logs") / "ahead.log"
    with log.open("w") as sink:
        files = {item.path.name for item in session.items if is_here(item)}
        command = [sys.executable, "-m", "tests.e2e.ahead", *sorted(files)]
        ahead = subprocess.Popen(command, cwd=HERE.parents[1], stdout=sink, stderr=sink)
    try:
        return (yield)
    finally:
        ahead.terminate()
        ahead.wait()


@pytest.fixture(scope="session")
def tiny_spec() -> Spec:
    """The committed spec of the small model."""
    return load_spec(specs_dir() / "smolvlm_tiny.yaml")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_spec: Spec) -> Bundle:
    """Its hybrid bundle for the simulated SM8750, from the cache or compiled now."""
    return compile_bundle(request_for(tiny_spec), None, lambda stage: None)


@pytest.fixture(scope="session")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A virtual SM8750 on an adb server of its own."""
    with ExitStack() as stack:
        private = stack.enter_context(start_private_server(tmp_path_factory.mktemp("adb")))
        virtual = stack.enter_context(
            start_virtual_phone(SOC, "e2e", authorized_key=private.public_key_path)
        )
        private.server.connect_tcp(virtual.serial)
        yield open_device(private.server, virtual.serial, SOC)


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """The x86-64 runner with Qualcomm's simulator, built on first use."""
    return find_runtime("x86_64", find_soc(SOC).htp_arch, simulated=True)


def request_for(spec: Spec) -> BundleRequest:
    """A hybrid bundle for the simulated SM8750."""
    return BundleRequest(spec, find_soc(SOC), "hybrid", "simulator")
