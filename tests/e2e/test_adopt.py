"""PTEs without a manifest become a bundle with the spec's cases, and run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bundle import Bundle, check_bundle
from harness.compile.adopt import adopt_foreign
from harness.device import Device
from harness.errors import BundleMismatch
from harness.foreign import find_foreign
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime
from harness.spec import Spec
from tests.e2e.conftest import request_for


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The PTEs of `tiny_bundle` and nothing else, as ExecuTorch's `llama.py` leaves them."""
    for component in tiny_bundle.manifest.components.values():
        shutil.copy2(tiny_bundle.dir / component.file, tmp_path / component.file)
    return tmp_path


def adopt(folder: Path, spec: Spec) -> Bundle:
    foreign = find_foreign(folder)
    assert foreign is not None
    return adopt_foreign(foreign, request_for(spec), lambda stage: None, lambda text: None)


def test_adopted_ptes_run_and_reply_as_the_bundle_they_are_from(
    folder: Path, tiny_spec: Spec, tiny_bundle: Bundle, phone: Device, runtime: Runtime
) -> None:
    adopted = adopt(folder, tiny_spec)
    request = request_for(tiny_spec)
    check_bundle(adopted, tiny_spec, request.soc, "hybrid", "simulator")
    case = next(iter(tiny_spec.cases.values()))
    replies = [
        run_case(
            phone, runtime, RunRequest(bundle, case.name, "hybrid", case.max_new_tokens, 600)
        ).reply
        for bundle in (tiny_bundle, adopted)
    ]
    assert replies[0] == replies[1] != ""


def test_adopting_for_a_longer_context_names_the_tensor(folder: Path, tiny_spec: Spec) -> None:
    longer = replace(tiny_spec, max_seq_len=256, max_context_len=256)
    with pytest.raises(BundleMismatch, match="kv_forward: tensor 1 is"):
        adopt(folder, longer)
