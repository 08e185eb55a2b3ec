"""One case of one bundle, run once on one device."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.bundle import Bundle
from harness.device import Device, LocalFile, RunOutcome, RunPlan, run_on_device
from harness.errors import RunnerError
from harness.manifest import TOKENIZER_NAME
from harness.report import Report, parse_report
from harness.runtime import Runtime
from harness.tokens import detokenize
from harness.vocabulary import Mode

REQUEST_SCHEMA_VERSION = 1
_LAST_LINES = 8
_SIGNALLED = 128  # exit codes above it: killed by a signal


@dataclass(frozen=True)
class CaseRun:
    """What a run gave: the runner's report and the reply's text, special tokens left out.

    `runner_s` is the time of the runner's process as this computer saw it.
    """

    report: Report
    reply: str
    runner_s: float
    pushed_bytes: int


@dataclass(frozen=True)
class RunRequest:
    """What to run. `timeout_s` bounds the runner's process, which is then killed."""

    bundle: Bundle
    case_name: str
    mode: Mode
    max_new_tokens: int
    timeout_s: float
    record_logits: bool = False  # costs a second look over the vocabulary at each token

    def __str__(self) -> str:
        return f"{self.bundle.manifest.model}-{self.mode}-{self.case_name}"


def run_case(
    device: Device,
    runtime: Runtime,
    request: RunRequest,
    on_push: Callable[[int, int], None] | None = None,
) -> CaseRun:
    """Deploy what is missing on the device, run one case, read its report.

    Args:
        on_push: told (bytes done, bytes in total) while files are sent.

    Raises:
        RunnerError: the runner failed or left no usable report.
        DeviceError: trouble with the device or on the way to it.
    """
    plan = RunPlan(
        files=_files(runtime, request.bundle, request.case_name),
        request_json=request_json(request),
        executable=runtime.executable,
        timeout_s=request.timeout_s,
    )
    outcome = run_on_device(device, plan, on_push)
    report = _read_report(outcome, f"running {request} on {device.serial}")
    return CaseRun(
        report=report,
        reply=detokenize(request.bundle.path_of(TOKENIZER_NAME), report.generated_token_ids),
        runner_s=outcome.runner_s,
        pushed_bytes=outcome.pushed_bytes,
    )


def request_json(request: RunRequest) -> bytes:
    """The runner's request; paths are those of the run folder."""
    manifest = request.bundle.manifest
    case = manifest.cases[request.case_name]
    ptes = {f"{name}_pte": part.file for name, part in manifest.components.items()}
    document = {
        "schema_version": REQUEST_SCHEMA_VERSION,
        "mode": request.mode,
        **ptes,
        "prompt_token_ids": case.prompt_token_ids,
        "image_token_id": manifest.image_token_id,
        "images": [{"path": image.path, "shape": image.shape} for image in case.images],
        "stop_token_ids": manifest.stop_token_ids,
        "max_new_tokens": request.max_new_tokens,
        "record_logits": request.record_logits,
    }
    return json.dumps(document).encode()


def _files(runtime: Runtime, bundle: Bundle, case_name: str) -> Mapping[str, LocalFile]:
    """Names in the run folder: the Runtime's flat, the bundle's as in the bundle."""
    manifest = bundle.manifest
    names = [part.file for part in manifest.components.values()]
    names += [image.path for image in manifest.cases[case_name].images]
    files = {
        str(PurePosixPath(name)): LocalFile(
            bundle.dir / name, manifest.files[name].sha256, manifest.files[name].size_bytes
        )
        for name in names
    }
    for name, entry in runtime.files.items():
        files[name] = LocalFile(runtime.dir / name, entry.sha256, entry.size_bytes)
    return files


def _read_report(outcome: RunOutcome, doing: str) -> Report:
    """The report of a run that succeeded, else a RunnerError with the runner's own words."""
    if outcome.report_json is not None:
        try:
            report = parse_report(outcome.report_json)
        except RunnerError as err:
            raise _told(err, outcome) from err
        if outcome.exit_code == 0:
            return report
    code = outcome.exit_code
    ended = (
        f"was killed by signal {code - _SIGNALLED}"
        if code > _SIGNALLED
        else f"ended with exit code {code}"
    )
    left = "and left no report" if outcome.report_json is None else "though it reports success"
    raise _told(RunnerError(doing, f"the runner {ended} {left}"), outcome)


def _told(error: RunnerError, outcome: RunOutcome) -> RunnerError:
    """The error with the runner's exit code and last words."""
    error.exit_code = outcome.exit_code
    error.stderr = outcome.stderr
    last = outcome.stderr.strip().splitlines()[-_LAST_LINES:]
    if last:
        error.problem += "; its last words:" + "".join(f"\n    | {line}" for line in last)
    return error
