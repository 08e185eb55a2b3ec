"""A bench of virtual phones that sessions run on, and folders for them to work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.device import PrivateServer, start_private_server
from harness.errors import AdbError
from harness.virtual_phone import VirtualPhone, start_virtual_phone

from .sessions import Bench
from .workplace import Workplace

StartPhone = Callable[..., VirtualPhone]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The harness's cache, private to these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For each test, not for the session: tests of other folders need the cache that is theirs.
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_dir))


@pytest.fixture(scope="session")
def bench(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An SM8750 that owns to being simulated, and one that does not, both healthy."""
    profile = cache_dir / "silicon.yaml"
    profile.write_text("soc: SM8750\nsimulated: false\n")
    with ExitStack() as stack:
        server = stack.enter_context(start_private_server(tmp_path_factory.mktemp("adb")))
        key = server.public_key_path
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CACHE_VARIABLE, str(cache_dir))
            one = start_virtual_phone("SM8750", "simulated", authorized_key=key)
            stack.enter_context(one)
            other = start_virtual_phone(None, "silicon", profile_path=profile, authorized_key=key)
            stack.enter_context(other)
        for phone in (one, other):
            server.server.connect_tcp(phone.serial)
        yield Bench(server, cache_dir, one, other)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrivateServer]:
    """A server for one test: to be killed, or to know no other phone."""
    with start_private_server(tmp_path / "home") as server:
        yield server


@pytest.fixture
def start_phone(cache_dir: Path) -> Iterator[StartPhone]:
    """start_phone(server, faults=[...]): a phone for one test, connected."""
    with ExitStack() as stack:

        def start(server: PrivateServer, *faults: str, name: str = "own") -> VirtualPhone:
            phone = start_virtual_phone("SM8750", name, faults=faults, fresh=True)
            stack.enter_context(phone)
            # A phone with faults may refuse; what adb then says of it is what we are after.
            server.server.ask(f"host:connect:{phone.serial}")
            stack.callback(_forget, server, phone)
            return phone

        yield start


def _forget(server: PrivateServer, phone: VirtualPhone) -> None:
    with suppress(AdbError):  # a test may have ended the server
        server.server.disconnect(phone.serial)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Empty; to be furnished."""
    return Workplace(tmp_path / "workplace")


@pytest.fixture(scope="session")
def simulated_work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """One model with bundle and Runtime for the simulated phone; not to be changed."""
    return Workplace(tmp_path_factory.mktemp("work") / "simulated").furnish("simulator")
