"""The runner's report: what one run did, with raw time stamps.

Nothing is computed on the device; `harness.metrics` makes numbers of these stamps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import RunnerError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

REPORT_SCHEMA_VERSION = 1

StopReason = Literal["stop_token", "max_new_tokens", "context_full"]
Span = tuple[int, int]  # begin and end, steady-clock nanoseconds

_DOING = "reading the runner's report"
# Unknown keys are let through: a newer runner may say more than we read.
_STRICT = {"strict": True}


@dataclass(frozen=True)
class Timestamps:
    """Steady-clock nanoseconds of the device; only differences mean something.

    `tokens` holds one stamp per generated token, `images` one span per picture through
    the vision encoder, `prefill` the whole prompt without the encoder.
    """

    __pydantic_config__ = _STRICT

    start: int
    load: Mapping[str, Span]
    inference_start: int
    images: tuple[Span, ...]
    prefill: Span
    prefill_steps: tuple[Span, ...]
    tokens: tuple[int, ...]
    inference_end: int


@dataclass(frozen=True)
class Memory:
    """Resident set of the runner process, bytes."""

    __pydantic_config__ = _STRICT

    rss_after_load_bytes: int
    rss_after_prefill_bytes: int
    peak_rss_bytes: int


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
class Report:
    """One successful run. `generated_token_ids` includes the stop token if one ended it."""

    __pydantic_config__ = _STRICT

    mode: str
    prompt_tokens: int
    image_tokens: int
    generated_token_ids: tuple[int, ...]
    stop_reason: StopReason
    context_length: int
    prefill_ar_len: int
    timestamps_ns: Timestamps
    memory: Memory
    requantized_entries: int
    logits: Logits | None
    build: Mapping[str, str]


def parse_report(data: bytes) -> Report:
    """Read a report strictly.

    Raises:
        RunnerError: the runner reported an error (its `exit_code` is set), or the report
            is garbled, of another schema, or contradicts itself.
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
    if document.get("status") == "error":
        raise _reported_error(document.get("error"))
    if document.get("status") != "ok":
        raise _garbled(f"status is {document.get('status')!r}, neither 'ok' nor 'error'")
    from pydantic import ValidationError

    try:
        report = _report_adapter().validate_json(data)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _garbled(f"{where}: {first['msg']}") from err
    problem = _contradiction(report)
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
        return _garbled("status is 'error' and no error is told")
    name, message = error.get("name", "unknown"), error.get("message", "no message")
    step = error.get("step")
    result = RunnerError(
        f"running the model ({step})" if step else "running the model", f"{name}: {message}"
    )
    exit_code = error.get("exit_code")
    if isinstance(exit_code, int):
        result.exit_code = exit_code
    return result


def _contradiction(report: Report) -> str | None:
    """The first thing in a well-typed report that cannot be."""
    stamps = report.timestamps_ns
    if len(stamps.tokens) != len(report.generated_token_ids):
        return (
            f"{len(stamps.tokens)} token time stamps "
            f"for {len(report.generated_token_ids)} generated tokens"
        )
    if report.prompt_tokens < 1:
        return f"prompt_tokens is {report.prompt_tokens}"
    spans = {
        "prefill": [stamps.prefill],
        "images": stamps.images,
        "prefill_steps": stamps.prefill_steps,
        "load": tuple(stamps.load.values()),
    }
    for name, members in spans.items():
        if any(end < begin for begin, end in members):
            return f"timestamps_ns.{name} ends before it begins"
    course = [stamps.start, stamps.inference_start, *stamps.tokens, stamps.inference_end]
    return None if _rises(course) else "timestamps_ns run backwards"


def _rises(values: Sequence[int]) -> bool:
    return all(earlier <= later for earlier, later in pairwise(values))
