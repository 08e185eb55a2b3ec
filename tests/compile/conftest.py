"""Fixtures of the compiler's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.compile.plan import BundleRequest
from harness.socs import find_soc, specs_dir
from harness.spec import load_spec


@pytest.fixture
def request_hybrid() -> BundleRequest:
    """`smolvlm_tiny`, hybrid, for the simulated SM8750."""
    spec = load_spec(specs_dir() / "smolvlm_tiny.yaml")
    return BundleRequest(spec, find_soc("SM8750"), "hybrid", "simulator")


@pytest.fixture
def checkpoint_dir(request_hybrid: BundleRequest) -> Path:
    """The folder of the tiny checkpoint."""
    path = request_hybrid.spec.checkpoint.path
    assert path is not None
    return path
