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

REQUEST_SCHEMA_VERSION = 1
_LAST_LINES = 8


@dataclass(frozen=True)
class CaseRun:
    """What a run gave: the runner's report and the reply's text, special tokens left out.

    `runner_s` is the time of the runner's process as this computer saw it.
    """

    report: Report
    reply: str
    runner_s: float
    pushed_bytes: int


def run_case(
    device: Device,
    runtime: Runtime,
    bundle: Bundle,
    case_name: str,
    mode: str,
    *,
    max_new_tokens: int,
    timeout_s: float,
    on_push: Callable[[int, int], None] | None = None,
) -> CaseRun:
    """Deploy what is missing on the device, run one case, read its report.

    Args:
        timeout_s: bounds the runner's process; at its end the process is killed on the device.
        on_push: told (bytes done, bytes in total) while files are sent.

    Raises:
        RunnerError: the runner failed or left no usable report.
        DeviceError: trouble with the device or on the way to it.
    """
    plan = RunPlan(
        files=_files(runtime, bundle, case_name),
        request_json=request_json(bundle, case_name, mode, max_new_tokens),
        executable=runtime.executable,
        timeout_s=timeout_s,
    )
    outcome = run_on_device(device, plan, on_push)
    report = _read_report(outcome, device.serial, f"{bundle.manifest.model}-{mode}-{case_name}")
    return CaseRun(
        report=report,
        reply=detokenize(bundle.path_of(TOKENIZER_NAME), report.generated_token_ids),
        runner_s=outcome.runner_s,
        pushed_bytes=outcome.pushed_bytes,
    )


def request_json(bundle: Bundle, case_name: str, mode: str, max_new_tokens: int) -> bytes:
    """The runner's request; paths are those of the run folder."""
    manifest = bundle.manifest
    case = manifest.cases[case_name]
    ptes = {f"{name}_pte": part.file for name, part in manifest.components.items()}
    request = {
        "schema_version": REQUEST_SCHEMA_VERSION,
        "mode": mode,
        **ptes,
        "prompt_token_ids": case.prompt_token_ids,
        "image_token_id": manifest.image_token_id,
        "images": [{"path": image.path, "shape": image.shape} for image in case.images],
        "stop_token_ids": manifest.stop_token_ids,
        "max_new_tokens": max_new_tokens,
        "record_logits": True,
    }
    return json.dumps(request).encode()


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


def _read_report(outcome: RunOutcome, serial: str, run: str) -> Report:
    """The report of a run that succeeded, else a RunnerError with the runner's own words."""
    if outcome.exit_code == 0 and outcome.report_json is not None:
        try:
            return parse_report(outcome.report_json)
        except RunnerError as err:
            raise _told(err, outcome) from err
    if outcome.report_json is not None:
        try:
            parse_report(outcome.report_json)
        except RunnerError as err:
            raise _told(err, outcome) from err
    code = outcome.exit_code
    ended = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
    left = "" if outcome.report_json is None else ", though its report says all was well"
    raise _told(
        RunnerError(f"running {run} on {serial}", f"the runner {ended}{left}"),
        outcome,
    )


def _told(error: RunnerError, outcome: RunOutcome) -> RunnerError:
    """The error with the runner's exit code and last words."""
    error.exit_code = outcome.exit_code
    error.stderr = outcome.stderr
    last = outcome.stderr.strip().splitlines()[-_LAST_LINES:]
    if last:
        error.problem += "; its last words:" + "".join(f"\n    | {line}" for line in last)
    return error
