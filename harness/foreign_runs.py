"""A case run by ExecuTorch's own `qnn_multimodal_runner` instead of ours.

It tokenises and applies its own chat template, says what it measured in its log and writes
the transcript to a file; the rest of a run (deploying, watching over it) is the same.
"""

from __future__ import annotations

import secrets
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.answers import Reply
from harness.cache import file_sha256
from harness.device import Device, LocalFile, RunOutcome, run_on_device
from harness.errors import RunnerError
from harness.failures import explain_exit, hint_for
from harness.foreign_log import ForeignTurn, last_reply, read_foreign_log
from harness.manifest import TOKENIZER_NAME, ImageInput
from harness.runs import RunRequest, make_plan
from harness.runtime import Runtime
from harness.vocabulary import METRIC_KINDS

EVAL_MODES = {"kv": 0, "hybrid": 1, "lookahead": 2}
_RUNNER = "foreign_runner"
_SCRIPT = "run_foreign.sh"
_IMAGES = "foreign_images.txt"
_OUTPUTS = "outputs.txt"
_LAST_LINES = 8


@dataclass(frozen=True)
class ForeignRunner:
    """ExecuTorch's runner and what to ask it: `prompts` are the user's words, turn by turn."""

    path: Path
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class ForeignCaseRun:
    """What a run of ExecuTorch's runner gave. A metric it does not tell is None.

    Its figures are made of its observer line, not of a report of ours: rates leave out the
    first token, and prefill includes the vision encoder.
    """

    reply: str
    turn: ForeignTurn
    metrics: Mapping[str, float | None]
    runner_s: float
    pushed_bytes: int

    @property
    def judged(self) -> Reply:
        """What a verdict looks at; the log does not tell the tokens' ids."""
        return Reply(self.reply, (), self.turn.stop_reason or "unknown")


def run_foreign_case(
    device: Device,
    runtime: Runtime,
    runner: ForeignRunner,
    request: RunRequest,
    on_push: Callable[[int, int], None] | None = None,
) -> ForeignCaseRun:
    """Run one case with ExecuTorch's runner and the libraries of a Runtime.

    Raises:
        RuntimeFolderError: the Runtime cannot load this bundle.
        RunnerError: it failed, or its log has no figures; its exit code alone says nothing.
        DeviceError: trouble with the device or on the way to it.
    """
    marker = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="vlm-foreign-") as folder:
        plan = make_plan(runtime, request)
        made = {
            _SCRIPT: _script(request, runner.prompts, marker),
            _IMAGES: "".join(f"{image.path}\n" for image in _images(request)),
        }
        files = dict(plan.files)
        for name, text in made.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
            files[name] = _local(Path(folder) / name)
        files[_RUNNER] = _local(runner.path)
        files[TOKENIZER_NAME] = _local(request.bundle.path_of(TOKENIZER_NAME))
        plan = replace(plan, files=files, request_json=b"{}", executable=_SCRIPT)
        outcome = run_on_device(device, plan, on_push)
    return _read(outcome, f"running {request} with {runner.path.name} on {device.serial}", marker)


def foreign_argv(request: RunRequest, prompts: Sequence[str]) -> list[str]:
    """The flags of ExecuTorch's runner; it sees `--prompt TEXT` only as two arguments."""
    manifest = request.bundle.manifest
    parts = manifest.components
    argv = [
        f"--encoder_path={parts['vision_encoder'].file}",
        f"--tok_embedding_path={parts['tok_embedding'].file}",
        f"--decoder_path={parts['text_decoder'].file}",
        f"--tokenizer_path={TOKENIZER_NAME}",
        f"--decoder_model_version={manifest.family}",
        f"--output_path={_OUTPUTS}",
        "--performance_output_path=inference_speed.txt",
        f"--seq_len={manifest.max_seq_len}",
        f"--eval_mode={EVAL_MODES[request.mode]}",
        "--temperature=0",
    ]
    if manifest.lookahead is not None:
        shape = manifest.lookahead
        argv += [f"--{name}={getattr(shape, name)}" for name in ("window", "ngram", "gcap")]
    if _images(request):
        argv.append(f"--image_path={_IMAGES}")
    for prompt in prompts:
        argv += ["--prompt", prompt]
    return argv


def _images(request: RunRequest) -> Sequence[ImageInput]:
    return request.bundle.manifest.cases[request.case_name].images


def _script(request: RunRequest, prompts: Sequence[str], marker: str) -> str:
    """Runs the runner and prints its transcript after the marker; no first line names a shell.

    Android's lies elsewhere than Linux's, and both run a file without such a line in theirs.
    """
    command = shlex.join([f"./{_RUNNER}", *foreign_argv(request, prompts)])
    return f"{command}\ncode=$?\nprintf '\\n%s\\n' {marker}\ncat {_OUTPUTS}\nexit $code\n"


def _local(path: Path) -> LocalFile:
    return LocalFile(path, file_sha256(path), path.stat().st_size)


def _read(outcome: RunOutcome, doing: str, marker: str) -> ForeignCaseRun:
    printed, _, transcript = outcome.stdout.replace("\r\n", "\n").partition(f"\n{marker}\n")
    log = read_foreign_log(f"{outcome.stderr}\n{printed}")
    if outcome.exit_code != 0 or not log.turns or not transcript:
        raise _failed(outcome, doing)
    turn = log.turns[-1]
    return ForeignCaseRun(
        reply=last_reply(transcript),
        turn=turn,
        metrics={name: turn.metrics.get(name) for name in METRIC_KINDS},
        runner_s=outcome.runner_s,
        pushed_bytes=outcome.pushed_bytes,
    )


def _failed(outcome: RunOutcome, doing: str) -> RunnerError:
    log = outcome.stderr + outcome.stdout
    why = explain_exit(outcome.exit_code or 1, log) or "its log has no figures"
    last = "".join(f"\n    | {line}" for line in log.strip().splitlines()[-_LAST_LINES:])
    error = RunnerError(
        doing,
        f"it ended with exit code {outcome.exit_code}: {why}; its last words:{last}",
        hint=hint_for(outcome.exit_code, log),
    )
    error.exit_code = outcome.exit_code
    error.stderr = outcome.stderr
    return error
