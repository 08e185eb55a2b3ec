"""The soak's length, and the bench it runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.device import start_private_server
from harness.virtual_phone import start_virtual_phone

from ..front.sessions import Bench

SOAK_TESTS = int(os.environ.get("VLM_SOAK_TESTS", "24"))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def bench(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What starts sessions; its own phone is not among those of the soak."""
    with start_private_server(tmp_path_factory.mktemp("adb")) as server:
        # For the phone alone: a session's fixture lasts until the last test of all has run.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CACHE_VARIABLE, str(cache_dir))
            phone = start_virtual_phone("SM8750", "spare")
        with phone:
            yield Bench(server, cache_dir, phone, phone)
