"""One run on the HTP simulator under sanitizers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.bundle import Bundle
from harness.cache import cache_root
from harness.runs import RunRequest, request_json
from harness.runtime import Runtime
from tests.sanitized import BUILD_TIMEOUT_S, STRICT, build_sanitized


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_simulator_run_under_sanitizers_is_clean(
    tiny_bundle: Bundle, runtime: Runtime, tmp_path: Path
) -> None:
    runner = build_sanitized(cache_root()) / "vlm_runner"
    name = next(iter(tiny_bundle.manifest.cases))
    request = RunRequest(tiny_bundle, name, "hybrid", 3, 300.0, record_logits="top2")
    (tmp_path / "request.json").write_bytes(request_json(request))
    argv = [runner, "--request", tmp_path / "request.json", "--report", tmp_path / "report.json"]
    done = subprocess.run(
        argv,
        cwd=tiny_bundle.dir,
        env={**os.environ, **STRICT, "LD_LIBRARY_PATH": str(runtime.dir)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Sanitizer" not in done.stderr
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert len(report["iterations"][0]["turns"][0]["generated_token_ids"]) == 3
