"""One case of one bundle, run once on one device."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from harness.answers import Reply
from harness.bundle import Bundle
from harness.device import LOGITS_NAME, Device, LocalFile, RunOutcome, RunPlan, run_on_device
from harness.errors import RunnerError
from harness.failures import explain_exit, hint_for, signal_name
from harness.manifest import TOKENIZER_NAME
from harness.metrics import measure_all
from harness.report import RecordLogits, Report, Sampling, Turn, parse_report
from harness.runtime import Runtime, check_runtime_serves
from harness.tokens import detokenize
from harness.vocabulary import Mode

REQUEST_SCHEMA_VERSION = 2
_BYTES_AS_BASE64 = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}
_LAST_LINES = 8
_SIGNALLED = 128  # exit codes above it: killed by a signal


@dataclass(frozen=True)
class CaseRun:
    """What a run gave: the runner's report and the replies' texts, special tokens left out.

    `replies` are those of the first measured iteration, one per turn. `runner_s` is the time
    of the runner's process as this computer saw it. `logits` are those that were recorded in
    full, of all turns: rows of float32.
    """

    # Logits are no text, and finished runs are kept as JSON.
    __pydantic_config__ = _BYTES_AS_BASE64

    report: Report
    replies: tuple[str, ...]
    runner_s: float
    pushed_bytes: int
    logits: bytes | None = None

    @property
    def turn(self) -> Turn:
        """The last turn of the first measured iteration."""
        return self.report.measured[0].turns[-1]

    @property
    def reply(self) -> str:
        """The text of `turn`."""
        return self.replies[-1]

    @property
    def judged(self) -> Reply:
        """What a verdict looks at: the reply of `turn`."""
        return Reply(self.reply, self.turn.generated_token_ids, self.turn.stop_reason)

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every metric of `turn`."""
        return measure_all(self.turn, self.report)


@dataclass(frozen=True)
class RunRequest:
    """What to run. `timeout_s` bounds the runner's process, which is then killed.

    The case is run `warmup` times, then `repeat` times that count, all in one process.
    `fixed_tokens` generates exactly so many in each turn, whatever the stop ids say.
    `sampling` None is greedy. With `teacher_forced` the last turn is fed this reply instead
    of its own. `record_logits` costs a second look over the vocabulary at each token.
    """

    bundle: Bundle
    case_name: str
    mode: Mode
    max_new_tokens: int
    timeout_s: float
    warmup: int = 0
    repeat: int = 1
    fixed_tokens: int | None = None
    sampling: Sampling | None = None
    teacher_forced: tuple[int, ...] | None = None
    record_logits: RecordLogits = "none"

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
        RuntimeFolderError: the Runtime cannot load this bundle.
        RunnerError: the runner failed or left no usable report.
        DeviceError: trouble with the device or on the way to it.
    """
    outcome = run_on_device(device, make_plan(runtime, request), on_push)
    report = _read_report(outcome, f"running {request} on {device.serial}")
    tokenizer = request.bundle.path_of(TOKENIZER_NAME)
    return CaseRun(
        report=report,
        replies=tuple(
            detokenize(tokenizer, turn.generated_token_ids) for turn in report.measured[0].turns
        ),
        runner_s=outcome.runner_s,
        pushed_bytes=outcome.pushed_bytes,
        logits=outcome.logits,
    )


def make_plan(runtime: Runtime, request: RunRequest) -> RunPlan:
    """What the device is asked to do for a run.

    Raises:
        RuntimeFolderError: the Runtime cannot load this bundle.
    """
    manifest = request.bundle.manifest
    qnn_version = manifest.versions.get("qnn")
    check_runtime_serves(runtime, manifest.backend, qnn_version, str(request))
    return RunPlan(
        files=_files(runtime, request.bundle, request.case_name),
        request_json=request_json(request),
        executable=runtime.executable,
        timeout_s=request.timeout_s,
    )


def request_json(request: RunRequest) -> bytes:
    """The runner's request; paths are those of the run folder."""
    manifest = request.bundle.manifest
    ptes = {f"{name}_pte": part.file for name, part in manifest.components.items()}
    document = {
        "schema_version": REQUEST_SCHEMA_VERSION,
        "mode": request.mode,
        **ptes,
        "turns": _turns(request),
        "image_token_id": manifest.image_token_id,
        "stop_token_ids": manifest.stop_token_ids,
        "max_new_tokens": request.max_new_tokens,
        "warmup": request.warmup,
        "repeat": request.repeat,
        "record_logits": request.record_logits,
        "files_sha256": {
            name: manifest.files[name].sha256
            for name in _bundle_files(request.bundle, request.case_name)
        },
    }
    if request.mode == "lookahead" and manifest.lookahead is not None:
        document["lookahead"] = asdict(manifest.lookahead)
    if request.fixed_tokens is not None:
        document["fixed_tokens"] = request.fixed_tokens
    if request.sampling is not None:
        document["sampling"] = asdict(request.sampling)
    if request.record_logits == "full":
        document["logits_path"] = LOGITS_NAME
    return json.dumps(document).encode()


def _turns(request: RunRequest) -> list[dict[str, object]]:
    case = request.bundle.manifest.cases[request.case_name]
    turns: list[dict[str, object]] = [
        {
            "prompt_token_ids": turn.prompt_token_ids,
            "images": [{"path": image.path, "shape": image.shape} for image in turn.images],
        }
        for turn in case.turns
    ]
    if request.teacher_forced is not None:
        turns[-1]["teacher_forced_token_ids"] = request.teacher_forced
    return turns


def _bundle_files(bundle: Bundle, case_name: str) -> list[str]:
    """What of the bundle a run needs, by its name in the bundle."""
    manifest = bundle.manifest
    names = [part.file for part in manifest.components.values()]
    return names + [image.path for image in manifest.cases[case_name].images]


def _files(runtime: Runtime, bundle: Bundle, case_name: str) -> Mapping[str, LocalFile]:
    """Names in the run folder: the Runtime's flat, the bundle's as in the bundle."""
    manifest = bundle.manifest
    files = {
        str(PurePosixPath(name)): LocalFile(
            bundle.dir / name, manifest.files[name].sha256, manifest.files[name].size_bytes
        )
        for name in _bundle_files(bundle, case_name)
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
        f"was killed by signal {signal_name(code - _SIGNALLED)}"
        if code > _SIGNALLED
        else f"ended with exit code {code}"
    )
    left = "and left no report" if outcome.report_json is None else "though it reports success"
    explained = explain_exit(code, outcome.stderr) if code <= _SIGNALLED else None
    why = f": {explained}" if explained else ""
    raise _told(RunnerError(doing, f"the runner {ended} {left}{why}"), outcome)


def _told(error: RunnerError, outcome: RunOutcome) -> RunnerError:
    """The error with the runner's exit code, what to do about it, and the last words."""
    error.exit_code = outcome.exit_code
    error.stderr = outcome.stderr
    error.hint = error.hint or hint_for(outcome.exit_code, outcome.stderr)
    last = outcome.stderr.strip().splitlines()[-_LAST_LINES:]
    if last:
        error.problem += "; its last words:" + "".join(f"\n    | {line}" for line in last)
    return error
