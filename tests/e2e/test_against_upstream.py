"""PTEs of ExecuTorch's own path run in our runner and reply as that path's own graphs do.

`tox -e against-upstream`: upstream's path alone takes some minutes for the smallest model.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.upstream.job import Question, UpstreamJob, UpstreamRun, run_upstream
from harness.bundle import Bundle
from harness.compile.adopt import adopt_foreign
from harness.device import Device
from harness.foreign import find_foreign
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime
from harness.socs import specs_dir
from harness.spec import Spec
from tests.e2e.conftest import SOC, request_for

PREFILL_AR_LEN = 16
"""Not the spec's 32: upstream finds the KV cache by its shape, and a chunk of 32 embeddings of
128 channels has that of 32 channels at 128 positions. Its token embedding then gives integers."""


@pytest.fixture(scope="module")
def spec(tiny_spec: Spec) -> Spec:
    return replace(tiny_spec, prefill_ar_len=PREFILL_AR_LEN)


@pytest.fixture(scope="module")
def upstream(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> UpstreamRun:
    """The PTEs of the spec's checkpoint by upstream's path, and its graphs' replies."""
    asked = {
        case.name: Question(case.name, str(image.locate()), case.prompt, case.max_new_tokens)
        for case in spec.cases.values()
        for image in case.images
    }
    seen = [
        Question(f"calibration_{i}", str(sample.images[0].locate()), sample.prompt, 0)
        for i, sample in enumerate(spec.calibration)
    ]
    job = UpstreamJob(
        checkpoint=str(specs_dir().parent / "models" / "checkpoints" / "smolvlm_tiny"),
        soc=SOC,
        simulator=True,
        max_seq_len=spec.max_seq_len,
        prefill_ar_len=spec.prefill_ar_len,
        calibration=seen,
        questions=list(asked.values()),
    )
    return run_upstream(job, tmp_path_factory.mktemp("upstream"))


@pytest.fixture(scope="module")
def adopted(spec: Spec, upstream: UpstreamRun) -> Bundle:
    found = find_foreign(upstream.pte_dir)
    assert found is not None
    return adopt_foreign(found, request_for(spec), lambda stage: None, lambda text: None)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["hybrid", "kv"])
def test_upstreams_ptes_give_the_tokens_of_its_own_graphs(
    mode: str, spec: Spec, upstream: UpstreamRun, adopted: Bundle, phone: Device, runtime: Runtime
) -> None:
    expected = {
        name: tuple(reply["token_ids"]) for name, reply in upstream.result["replies"].items()
    }
    got = {}
    for name in expected:
        request = RunRequest(adopted, name, mode, spec.cases[name].max_new_tokens, 600)
        got[name] = tuple(run_case(phone, runtime, request).turn.generated_token_ids)
    assert got == expected
    assert len(expected) == len(spec.cases)
