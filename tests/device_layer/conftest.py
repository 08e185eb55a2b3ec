"""A private adb server and virtual phones; "runners" are small shell scripts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.device import (
    Device,
    LocalFile,
    PrivateServer,
    RunPlan,
    open_device,
    start_private_server,
)
from harness.virtual_phone import VirtualPhone, start_virtual_phone

WAIT_S = 10.0


@dataclass(frozen=True)
class Bench:
    """A phone, the device the harness sees in it, and its disk as a folder of this host."""

    phone: VirtualPhone
    device: Device
    root_dir: Path

    @property
    def store_dir(self) -> Path:
        return self.root_dir / "data/local/tmp/vlm-device-harness/store"

    def run_folders(self) -> list[str]:
        runs_dir = self.store_dir.parent / "runs"
        return [path.name for path in runs_dir.iterdir()] if runs_dir.is_dir() else []

    def install(self, name: str, script: str) -> None:
        """Put a command of our making before the phone's own."""
        path = self.root_dir / "system/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)


PhoneStarter = Callable[..., VirtualPhone]
FileMaker = Callable[..., LocalFile]
PlanMaker = Callable[..., RunPlan]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For each test, not for the session: tests of other folders need the cache that is theirs.
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(cache_dir))


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    with start_private_server(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrivateServer]:
    """A server for one test: to be killed, or to know no other phone."""
    with start_private_server(tmp_path / "home") as server:
        yield server


@pytest.fixture
def start_phone(cache_dir: Path, request: pytest.FixtureRequest) -> Iterator[PhoneStarter]:
    """start_phone("SM8750", faults=[...]): a phone that ends with the test."""
    with ExitStack() as stack:

        def start(soc: str = "SM8750", **options: object) -> VirtualPhone:
            name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
            phone = start_virtual_phone(soc, name, **options)  # type: ignore[arg-type]
            return stack.enter_context(phone)

        yield start


@pytest.fixture
def start_bench(
    start_phone: PhoneStarter, private: PrivateServer, cache_dir: Path
) -> Iterator[Callable[..., Bench]]:
    """start_bench(faults=[...], server=...): a phone with faults, connected."""
    with ExitStack() as stack:

        def start(server: PrivateServer = private, **options: object) -> Bench:
            known = set((cache_dir / "phones").glob("SM8750-*"))
            phone = start_phone(**options)
            (home_dir,) = set((cache_dir / "phones").glob("SM8750-*")) - known
            server.server.connect_tcp(phone.serial)
            if server is private:
                stack.callback(server.server.disconnect, phone.serial)
            return Bench(phone, open_device(server.server, phone.serial), home_dir / "root")

        yield start


@pytest.fixture(scope="session")
def bench(cache_dir: Path, private: PrivateServer) -> Iterator[Bench]:
    """A healthy phone, shared: nothing on it is damaged by a test that uses this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLM_HARNESS_CACHE", str(cache_dir))
        phone = start_virtual_phone("SM8750", "shared", authorized_key=private.public_key_path)
    with phone:
        private.server.connect_tcp(phone.serial)
        device = open_device(private.server, phone.serial)
        yield Bench(phone, device, cache_dir / "phones/SM8750-shared/root")


@pytest.fixture
def device(bench: Bench) -> Device:
    return bench.device


@pytest.fixture
def make_file(tmp_path: Path) -> FileMaker:
    """make_file("name", b"content") -> LocalFile."""

    def make(name: str, content: bytes) -> LocalFile:
        path = tmp_path / name
        path.write_bytes(content)
        return LocalFile(path, hashlib.sha256(content).hexdigest(), len(content))

    return make


@pytest.fixture
def make_plan(make_file: FileMaker) -> PlanMaker:
    """make_plan("sh code", timeout_s=..., files=...)."""

    def make(code: str, timeout_s: float = 20.0, **options: Any) -> RunPlan:
        files = {"runner": make_file("runner", f"#!/bin/sh\n{code}\n".encode())}
        files |= options.pop("files", {})
        request = options.pop("request_json", b"{}")
        return RunPlan(files, request, "runner", timeout_s, **options)

    return make


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does soon."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[[Callable[[], bool], str], None]:
    return wait_until


@pytest.fixture(name="is_running")
def _is_running() -> Callable[[int], bool]:
    return is_running
