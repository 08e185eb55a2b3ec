"""A Runtime folder whose runner is the stub: floors and verdicts without silicon."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.virtual_phone import stub_runner

_RUNNER = "vlm_runner"


def make_stub_runtime(
    folder: Path,
    script: Mapping[str, object] | None,
    *,
    abi: str = "x86_64",
    htp_archs: list[int] | None = None,
) -> Path:
    """Write a Runtime folder that answers as scripted.

    Args:
        folder: made if it does not exist.
        script: as `stub_runner` describes it. It becomes a file of the Runtime and so lands
            in each run folder; None: the phone's profile names one in `VLM_STUB_SCRIPT`.
        abi: the ABI it claims to be for.
        htp_archs: the HTP archs it claims to serve; None: all, as the simulator.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runner = folder / _RUNNER
    # The phone's PATH may hold no python3, so its first line names this one.
    source = Path(stub_runner.__file__).read_text(encoding="utf-8")
    _shebang, _, body = source.partition("\n")
    runner.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    runner.chmod(0o755)
    names = [_RUNNER]
    if script is not None:
        (folder / stub_runner.SCRIPT_NAME).write_text(json.dumps(script), encoding="utf-8")
        names.append(stub_runner.SCRIPT_NAME)
    description = {
        "schema_version": 1,
        "abi": abi,
        "htp_archs": htp_archs,
        "qnn_version": None,
        "executorch_version": "stub",
        "runner_source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "files": {name: _describe(folder / name) for name in names},
        "executable": _RUNNER,
    }
    (folder / "runtime.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    return folder


def _describe(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
