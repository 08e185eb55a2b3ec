"""The log of ExecuTorch's own `qnn_multimodal_runner`, of any generation.

That runner has no report: its figures stand in a JSON line on stdout and in a block of lines
on stderr. Over adb the two arrive interleaved in the middle of lines, with CRLF, or folded by
a terminal, so nothing here relies on where a line begins or ends. Its exit code proves
nothing either way; a run counts if it left figures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TypeVar

from harness.failures import Signature, find_signature

# Key sets of the JSON line, by what the newest key in it is.
GENERATION_OF_KEY = {
    "aggregate_model_execution_time_ms": "2026-07",
    "decode_token_per_sec": "2026-03",
    "prefill_token_per_sec": "2026-03",
    "token_encode_end_ms": "optimum",
}
OLDEST_GENERATION = "seed"

_NUMBER = r"(-?(?:inf|nan|\d[\d\n]*(?:\.[\d\n]*)?(?:e[-+]?\d+)?))"
# Whole records of stderr, which may stand in the middle of one of stdout.
_STDERR_RECORD = re.compile(
    r"[DIEF] \d\d:\d\d:\d\d\.\d{6} executorch:[^\n]*\n"
    r"|\[(?:INFO|WARNING|ERROR|DEBUG|VERBOSE)\] \[Qnn ExecuTorch\]:[^\n]*\n+"
)
# A flat object; the prefix is missing in some pipelines, the key in none.
_OBSERVER = re.compile(
    r"(?:PyTorchObserver\s*)?(\{[^{}]*SCALING_FACTOR_UNITS_PER_SECOND[^{}]*\})\n?"
)
_OBSERVER_BEGIN = re.compile(r"PyTorchObserver\s*\{")
_PAIR = re.compile(r'"(\w+)":(-?(?:inf|nan|infinity|\d+(?:\.\d*)?(?:e[-+]?\d+)?))', re.IGNORECASE)
_LAST_PROMPT = re.compile(r"(?:\nAssistant:|<\|im_end\|>\s*(?:<\|im_start\|>)?assistant\n)")
_SPECIAL = re.compile(r"<\|[^|>]*\|>|<end_of_utterance>")


_Value = TypeVar("_Value")


@dataclass(frozen=True)
class ForeignTurn:
    """The figures of one turn. `metrics` has the names of `harness.vocabulary`, as far as known.

    `generated_tokens` leaves out the first one, which prefill makes. `stop_reason` is None
    where the log does not say.
    """

    generation: str
    prompt_tokens: int
    generated_tokens: int
    metrics: Mapping[str, float | None]
    stop_reason: str | None


@dataclass(frozen=True)
class ForeignLog:
    """What a log holds. `failure` is the gravest known one, which may precede any figure."""

    turns: tuple[ForeignTurn, ...]
    lookahead_generated: int | None
    lookahead_accepted: int | None
    failure: Signature | None


def read_foreign_log(text: str) -> ForeignLog:
    """The figures of a log, stdout and stderr together in any order; never raises."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    observers, rest = _take_observers(text)
    blocks = list(_blocks(rest))
    rss = _numbers(rest, "RSS after finishing text generation:", "MiB")
    reasons = list(_stop_reasons(rest))
    parts = zip_longest(observers, blocks)
    turns = tuple(
        _turn(observer or {}, block or {}, _nth(rss, i), _nth(reasons, i))
        for i, (observer, block) in enumerate(parts)
    )
    accepted = re.search(r"Lookahead Decoding: n_generated = (\d+) / n_accept = (\d+)", rest)
    return ForeignLog(
        turns=tuple(turn for turn in turns if turn is not None),
        lookahead_generated=int(accepted[1]) if accepted else None,
        lookahead_accepted=int(accepted[2]) if accepted else None,
        failure=find_signature(text),
    )


def read_inference_speed(text: str) -> float | None:
    """Tokens per second of `inference_speed.txt`, which holds the last turn's; None for none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def last_reply(transcript: str) -> str:
    """The last reply in `outputs.txt`, which echoes each prompt and puts nothing in between."""
    return _SPECIAL.sub("", _LAST_PROMPT.split(transcript)[-1]).strip()


def _take_observers(text: str) -> tuple[list[dict[str, float]], str]:
    """The JSON records by time, and the log without them."""
    found: list[dict[str, float]] = []

    def take(match: re.Match[str]) -> str:
        found.append(_pairs(_STDERR_RECORD.sub("", match[1])))
        return ""

    rest = _OBSERVER.sub(take, text)
    # What is left of them was broken by records of stderr that hold braces themselves.
    if _OBSERVER_BEGIN.search(rest):
        _OBSERVER.sub(take, _STDERR_RECORD.sub("", rest))
    return sorted(found, key=lambda record: record.get("inference_start_ms", 0.0)), rest


def _pairs(record: str) -> dict[str, float]:
    flat = re.sub(r"\s+", "", record)
    return {key: float(value) for key, value in _PAIR.findall(flat)}


def _blocks(text: str) -> Iterator[dict[str, float]]:
    """The report blocks: counts, and seconds by label."""
    starts = list(re.finditer(_loose("Prompt Tokens:") + r"\s*(\d+)\s+", text))
    bounds = [match.start() for match in starts] + [len(text)]
    for match, (begin, end) in zip(starts, pairwise(bounds), strict=True):
        part = text[begin:end]
        generated = re.search(_loose("Generated Tokens:") + r"\s*(\d+)", part)
        if generated is None:
            continue
        block = {"prompt_tokens": float(match[1]), "generated_tokens": float(generated[1])}
        for name, label in {
            "load_s": "Model Load Time:",
            "total_s": "Total inference time:",
            "prefill_s": "Prompt evaluation:",
            "decode_s": f"Generated {generated[1]} tokens:",
            "ttft_s": "Time to first generated token:",
        }.items():
            values = _numbers(part, label, "(seconds)")
            if values:
                block[name] = values[0]
        yield block


def _numbers(text: str, label: str, unit: str) -> list[float]:
    pattern = re.compile(_loose(label) + r"\s*" + _NUMBER + r"\s*" + _loose(unit))
    return [float(match[1].replace("\n", "")) for match in pattern.finditer(text)]


def _loose(label: str) -> str:
    """A pattern for a label that may be folded anywhere."""
    return r"\n?".join(r"\s+" if char == " " else re.escape(char) for char in label)


def _stop_reasons(text: str) -> Iterator[str]:
    pattern = re.compile(
        "(" + _loose("Reached to the end of generation") + ")"
        "|" + _loose("Generation stopped at seq_len limit")
    )
    for match in pattern.finditer(text):
        yield "stop_token" if match[1] else "context_full"


def _turn(
    observer: Mapping[str, float],
    block: Mapping[str, float],
    rss_mib: float | None,
    stop_reason: str | None,
) -> ForeignTurn | None:
    """One turn of what is known of it; None if not even the counts are."""
    spans_ms = _spans_of_observer(observer) or {
        name: seconds * 1e3 for name, seconds in block.items() if name.endswith("_s")
    }
    counts = observer if _is_whole(observer) else block
    if "prompt_tokens" not in counts or "generated_tokens" not in counts:
        return None
    prompt, generated = counts["prompt_tokens"], counts["generated_tokens"]
    if not (math.isfinite(prompt) and math.isfinite(generated)):
        return None
    metrics = {
        "decode_tokens_per_s": _per_s(generated, spans_ms.get("decode_s")),
        "prefill_tokens_per_s": _per_s(prompt, spans_ms.get("prefill_s")),
        "e2e_tokens_per_s": _per_s(generated, spans_ms.get("total_s")),
        "ttft_ms": _finite(spans_ms.get("ttft_s")),
        "model_load_ms": _finite(spans_ms.get("load_s")),
        # 0 is what it prints where the system does not tell.
        "rss_after_generate_mib": _finite(rss_mib) or None,
    }
    generations = (name for key, name in GENERATION_OF_KEY.items() if key in observer)
    return ForeignTurn(
        generation=next(generations, OLDEST_GENERATION) if observer else "block",
        prompt_tokens=int(prompt),
        generated_tokens=int(generated),
        metrics=metrics,
        stop_reason=stop_reason,
    )


def _is_whole(observer: Mapping[str, float]) -> bool:
    return observer.keys() >= {
        "prompt_tokens",
        "generated_tokens",
        "model_load_start_ms",
        "model_load_end_ms",
        "inference_start_ms",
        "inference_end_ms",
        "prompt_eval_end_ms",
        "first_token_ms",
    }


def _spans_of_observer(observer: Mapping[str, float]) -> dict[str, float] | None:
    """Milliseconds between the stamps, by the block's names; None unless all are there."""
    if not _is_whole(observer):
        return None
    start, prefilled = observer["inference_start_ms"], observer["prompt_eval_end_ms"]
    end = observer["inference_end_ms"]
    return {
        "load_s": observer["model_load_end_ms"] - observer["model_load_start_ms"],
        "total_s": end - start,
        "prefill_s": prefilled - start,
        "decode_s": end - prefilled,
        "ttft_s": observer["first_token_ms"] - start,
    }


def _per_s(count: float, duration_ms: float | None) -> float | None:
    if duration_ms is None or not math.isfinite(duration_ms) or duration_ms <= 0:
        return None
    return count * 1e3 / duration_ms


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _nth(values: Sequence[_Value], index: int) -> _Value | None:
    return values[index] if index < len(values) else None
