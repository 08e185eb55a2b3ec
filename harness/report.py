"""The runner's report: what one process did, with raw time stamps.

Nothing is computed on the device; `harness.metrics` makes numbers of these stamps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import RunnerError
from harness.report_contradictions import contradictions

if TYPE_CHECKING:
    from pydantic import TypeAdapter

REPORT_SCHEMA_VERSION = 2

StopReason = Literal[
    "stop_token", "max_new_tokens", "fixed_tokens", "teacher_forced", "context_full"
]
RecordLogits = Literal["none", "top2", "full"]
Span = tuple[int, int]  # begin and end, steady-clock nanoseconds

_DOING = "reading the runner's report"
# Unknown keys are let through: a newer runner may say more than we read.
_STRICT = {"strict": True}


@dataclass(frozen=True)
class LookaheadShape:
    """Lookahead decoding as the decode graph was made for it: window, n-gram length, guesses."""

    __pydantic_config__ = _STRICT

    window: int
    ngram: int
    gcap: int


@dataclass(frozen=True)
class Sampling:
    """Seeded sampling: softmax of logits / temperature over the top_k best within top_p."""

    __pydantic_config__ = _STRICT

    temperature: float
    top_k: int
    top_p: float
    seed: int


@dataclass(frozen=True)
class Settings:
    """What the run was asked for, as the runner understood it. `sampling` None: greedy.

    `shared_memory` "rpc": graph inputs and outputs lay in QNN shared memory.
    """

    __pydantic_config__ = _STRICT

    mode: str
    lookahead: LookaheadShape | None
    sampling: Sampling | None
    warmup: int
    repeat: int
    fixed_tokens: int | None
    max_new_tokens: int
    record_logits: RecordLogits
    shared_memory: Literal["rpc", "ordinary"]
    shared_memory_reason: str


@dataclass(frozen=True)
class LoadTimes:
    """Steady-clock nanoseconds of the loads; `start` is the begin of the process.

    `vision_encoder` is None where no turn has a picture, so that it was not loaded.
    """

    __pydantic_config__ = _STRICT

    start: int
    vision_encoder: Span | None
    tok_embedding: Span
    text_decoder: Span

    @property
    def spans(self) -> tuple[Span, ...]:
        """The components' loads."""
        first = () if self.vision_encoder is None else (self.vision_encoder,)
        return *first, self.tok_embedding, self.text_decoder


@dataclass(frozen=True)
class Timestamps:
    """Steady-clock nanoseconds of the device; only differences mean something.

    `tokens` holds one stamp per generated token, `images` one span per picture through
    the vision encoder, `prefill` the whole prompt without the encoder.
    """

    __pydantic_config__ = _STRICT

    inference_start: int
    images: tuple[Span, ...]
    prefill: Span
    prefill_steps: tuple[Span, ...]
    tokens: tuple[int, ...]
    inference_end: int


@dataclass(frozen=True)
class ExecuteTimes:
    """Nanoseconds inside `Method::execute`, one per call."""

    __pydantic_config__ = _STRICT

    vision_encoder: tuple[int, ...]
    prefill: tuple[int, ...]
    decode: tuple[int, ...]


@dataclass(frozen=True)
class LookaheadCounts:
    """Tokens guessed from n-grams, and those of them that were right."""

    __pydantic_config__ = _STRICT

    proposed: int
    accepted: int


@dataclass(frozen=True)
class Logits:
    """The two best candidates at each generated token, as (token id, raw value).

    value = (raw - zero_point) * scale; raw is the quantised integer, or the float itself
    (scale 1, zero point 0).
    """

    __pydantic_config__ = _STRICT

    scale: float
    zero_point: int
    top: tuple[tuple[tuple[int, float], ...], ...]


@dataclass(frozen=True)
class Turn:
    """One prompt and its reply. `generated_token_ids` includes the stop token if one ended it.

    In a teacher-forced turn they are the best ids at each position of the given reply.
    """

    __pydantic_config__ = _STRICT

    prompt_tokens: int
    image_tokens: int
    generated_token_ids: tuple[int, ...]
    stop_reason: StopReason
    timestamps_ns: Timestamps
    execute_ns: ExecuteTimes
    decode_steps: int
    lookahead: LookaheadCounts | None
    requantized_entries: int
    logits: Logits | None


@dataclass(frozen=True)
class Iteration:
    """All turns of the request, once. A warm-up one is left out of every number."""

    __pydantic_config__ = _STRICT

    warmup: bool
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Memory:
    """Resident set of the runner process, bytes."""

    __pydantic_config__ = _STRICT

    rss_after_load_bytes: int
    rss_after_prefill_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class Cpu:
    """Cores the process may run on, and their clocks as seen; no clocks where none are told."""

    __pydantic_config__ = _STRICT

    affinity: tuple[int, ...]
    frequency_khz: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """One successful process of the runner.

    `libraries` has what it ran with, by file name: version or build id, None where the file
    tells neither. `build` has None for what the build did not know.
    """

    __pydantic_config__ = _STRICT

    settings: Settings
    context_length: int
    max_seq_len: int
    prefill_ar_len: int
    decode_ar_len: int
    load_ns: LoadTimes
    iterations: tuple[Iteration, ...]
    memory: Memory
    cpu: Cpu
    libraries: Mapping[str, str | None]
    build: Mapping[str, str | None]

    @property
    def measured(self) -> tuple[Iteration, ...]:
        """The iterations that are no warm-up; at least one, each with at least one turn."""
        return tuple(iteration for iteration in self.iterations if not iteration.warmup)


def parse_report(data: bytes) -> Report:
    """Read a report strictly.

    Raises:
        RunnerError: the runner reported an error or crashed (its `exit_code` is set), or the
            report is garbled, of another schema, or contradicts itself.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as err:
        raise _garbled(f"not JSON ({len(data)} bytes)") from err
    if not isinstance(document, dict):
        raise _garbled(f"a JSON {type(document).__name__}, not an object")
    if document.get("schema_version") != REPORT_SCHEMA_VERSION:
        raise RunnerError(
            _DOING,
            f"schema_version is {document.get('schema_version')!r}",
            expected=str(REPORT_SCHEMA_VERSION),
            hint="use a Runtime folder made by this version of the harness",
        )
    status = document.get("status")
    if status in ("error", "partial"):
        raise _reported_error(document.get("error"))
    if status != "ok":
        raise _garbled(f"status is {status!r}, none of 'ok', 'error', 'partial'")
    from pydantic import ValidationError

    try:
        report = _report_adapter().validate_json(data)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _garbled(f"{where}: {first['msg']}") from err
    problem = next(contradictions(report), None)
    if problem is not None:
        raise _garbled(problem)
    return report


@cache
def _report_adapter() -> TypeAdapter[Report]:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def _garbled(problem: str) -> RunnerError:
    return RunnerError(
        _DOING, problem, hint="the runner and the harness must come from the same version"
    )


def _reported_error(error: Any) -> RunnerError:
    """What the runner said of its own failure, as an error."""
    if not isinstance(error, dict):
        return _garbled("the run failed and no error is told")
    name, message = error.get("name", "unknown"), error.get("message", "no message")
    step = error.get("step")
    result = RunnerError(
        f"running the model ({step})" if step else "running the model", f"{name}: {message}"
    )
    exit_code = error.get("exit_code")
    if isinstance(exit_code, int):
        result.exit_code = exit_code
    return result
