#!/usr/bin/env python3
"""A runner without a model: scripted replies and times instead of inference.

Takes the runner's arguments, answers with its report. What to answer stands in a JSON
file: `VLM_STUB_SCRIPT` in the environment, else `stub_script.json` in the run folder::

    {"replies": [{"match": {"prompt_token_ids": [1, 2], "image_sha256": ["..."], "mode": "kv"},
                  "reply": {"reply_token_ids": [5, 6, 2]}}],
     "default": {"reply_token_ids": [7, 2], "decode_tokens_per_s": 60.0}}

For each turn the first entry whose `match` agrees in every key it has is taken, else `default`;
a process misbehaves as its first turn says. Keys of a reply, all optional: `reply_token_ids`, `prefill_s`, `decode_tokens_per_s`, `encode_s` (per
image), `load_s` (per component), `peak_rss_bytes`, `context_length`, `prefill_ar_len`,
`requantized_entries`, `sleep_s` (real time the run takes; all other times are only told),
`stderr`, `spread` (0.02: each process is by up to 2 % faster or slower, evenly),
`throttled` (0.7: the share of its speed left while the phone's thermal status is above 0),
and `misbehave`:

| misbehave | what happens |
|---|---|
| {"kind": "hang"} | never ends |
| {"kind": "signal", "signal": 11} | dies of the signal, no report |
| {"kind": "exit", "code": 3} | that exit code, no report |
| {"kind": "error", "code": 3, "name": "..", "message": ".."} | an error report and that exit code |
| {"kind": "no_report"} | exit code 0, no report |
| {"kind": "empty_report"}, {"kind": "truncated_report"}, {"kind": "garbled_report"} | exit code 0, a spoilt report |

Standard library only, and no other module of the harness: it runs on the phone.
"""  # noqa: E501

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SCRIPT_NAME = "stub_script.json"
_EXIT_BAD_REQUEST = 2


def main() -> int:
    """Run once; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    try:
        request = json.loads(args.request.read_text(encoding="utf-8"))
        script_path = Path(os.environ.get("VLM_STUB_SCRIPT", SCRIPT_NAME))
        script = json.loads(script_path.read_text(encoding="utf-8"))
        replies = [find_reply(script, request["mode"], turn) for turn in request["turns"]]
    except (OSError, ValueError, LookupError) as err:
        print(f"stub runner: {err}", file=sys.stderr)
        return _EXIT_BAD_REQUEST
    first = replies[0]
    if "stderr" in first:
        print(first["stderr"], file=sys.stderr, flush=True)
    time.sleep(first.get("sleep_s", 0.0))
    report = make_report(request, replies)
    return _finish(report, args.report, first.get("misbehave", {"kind": "nothing"}))


def find_reply(script: dict[str, Any], mode: str, turn: dict[str, Any]) -> dict[str, Any]:
    """The script's reply to a turn of a request.

    Raises:
        LookupError: it has none.
        OSError: an image of the turn cannot be read.
    """
    facts: dict[str, object] = {
        "prompt_token_ids": turn["prompt_token_ids"],
        "mode": mode,
        "image_sha256": [
            hashlib.sha256(Path(image["path"]).read_bytes()).hexdigest() for image in turn["images"]
        ],
    }
    for entry in script.get("replies", []):
        if all(facts.get(key) == value for key, value in entry["match"].items()):
            reply: dict[str, Any] = entry["reply"]
            return reply
    if "default" not in script:
        raise LookupError("the script has no reply to this request and no default")
    default: dict[str, Any] = script["default"]
    return default


def make_report(request: dict[str, Any], replies: list[dict[str, Any]]) -> dict[str, Any]:
    """The report of a run that gives these replies to the request's turns."""
    first, clock = replies[0], _Clock()
    peak_rss_bytes = first.get("peak_rss_bytes", 512 << 20)
    warmup, repeat = request.get("warmup", 0), request.get("repeat", 1)
    components = ("vision_encoder", "tok_embedding", "text_decoder")
    load_ns = {"start": clock.now} | {
        component: clock.span(first.get("load_s", 0.05)) for component in components
    }
    iterations = [
        {
            "warmup": number < warmup,
            "turns": [
                _turn(request, turn, reply, clock)
                for turn, reply in zip(request["turns"], replies, strict=True)
            ],
        }
        for number in range(warmup + repeat)
    ]
    return {
        "schema_version": 2,
        "status": "ok",
        "error": None,
        "settings": _settings(request, warmup, repeat),
        "context_length": first.get("context_length", 1024),
        "max_seq_len": first.get("max_seq_len", first.get("context_length", 1024)),
        "prefill_ar_len": first.get("prefill_ar_len", 1 if request["mode"] == "kv" else 32),
        "decode_ar_len": 1,
        "load_ns": load_ns,
        "iterations": iterations,
        "memory": {
            "rss_after_load_bytes": peak_rss_bytes // 2,
            "rss_after_prefill_bytes": peak_rss_bytes * 3 // 4,
            "peak_rss_bytes": peak_rss_bytes,
        },
        "cpu": {"affinity": [0], "frequency_khz": []},
        "libraries": {},
        "build": {"compiler": "stub", "build_type": "Release", "abi": "x86_64"},
    }


def _settings(request: dict[str, Any], warmup: int, repeat: int) -> dict[str, Any]:
    return {
        "mode": request["mode"],
        "lookahead": request.get("lookahead"),
        "sampling": request.get("sampling"),
        "warmup": warmup,
        "repeat": repeat,
        "fixed_tokens": request.get("fixed_tokens"),
        "max_new_tokens": request["max_new_tokens"],
        "record_logits": request.get("record_logits", "none"),
        "shared_memory": "ordinary",
        "shared_memory_reason": "the stub runs no graph",
    }


def _turn(
    request: dict[str, Any], turn: dict[str, Any], reply: dict[str, Any], clock: _Clock
) -> dict[str, Any]:
    """One turn as reported; the clock moves on by what the reply says it takes."""
    prompt = turn["prompt_token_ids"]
    tokens, stop_reason = _generated(request, turn, reply)
    recorded = request.get("record_logits", "none") != "none"
    return {
        "prompt_tokens": len(prompt),
        "image_tokens": prompt.count(request["image_token_id"]),
        "generated_token_ids": tokens,
        "stop_reason": stop_reason,
        "timestamps_ns": _timestamps(turn, reply, len(tokens), clock),
        "execute_ns": {"vision_encoder": [], "prefill": [], "decode": []},
        "decode_steps": max(len(tokens) - 1, 0),
        "lookahead": None,
        "requantized_entries": reply.get("requantized_entries", 0),
        "logits": _logits(tokens) if recorded else None,
    }


def _generated(
    request: dict[str, Any], turn: dict[str, Any], reply: dict[str, Any]
) -> tuple[list[int], str]:
    """The reply's tokens up to the first stop token or the limit, and why they end."""
    scripted = reply.get("reply_token_ids", [])
    if "teacher_forced_token_ids" in turn:
        return list(turn["teacher_forced_token_ids"]), "teacher_forced"
    if "fixed_tokens" in request:
        tokens = scripted or request["stop_token_ids"]
        count = request["fixed_tokens"]
        return [tokens[i % len(tokens)] for i in range(count)], "fixed_tokens"
    stop_ids = set(request["stop_token_ids"])
    tokens = []
    for token in scripted:
        if len(tokens) == request["max_new_tokens"]:
            return tokens, "max_new_tokens"
        tokens.append(token)
        if token in stop_ids:
            return tokens, "stop_token"
    return tokens, "max_new_tokens"


def _timestamps(
    turn: dict[str, Any], reply: dict[str, Any], token_count: int, clock: _Clock
) -> dict[str, object]:
    """steady_clock times as scripted, from now on, in nanoseconds."""
    inference_start = clock.now
    images = [clock.span(reply.get("encode_s", 0.02)) for _image in turn["images"]]
    prefill = clock.span(reply.get("prefill_s", 0.1))
    tokens = [clock.now] if token_count else []
    step_s = 1.0 / (reply.get("decode_tokens_per_s", 50.0) * _speed(reply))
    for _token in range(token_count - 1):
        tokens.append(clock.span(step_s)[1])
    return {
        "inference_start": inference_start,
        "images": images,
        "prefill": prefill,
        "prefill_steps": [prefill],
        "tokens": tokens,
        "inference_end": clock.now,
    }


def _speed(reply: dict[str, Any]) -> float:
    """What chance and heat make of the scripted speed."""
    spread = reply.get("spread", 0.0)
    speed = 1.0 + random.Random(os.getpid()).uniform(-spread, spread)
    if "throttled" in reply:
        told = subprocess.run(["dumpsys", "thermalservice"], capture_output=True, text=True)
        if "Thermal Status: 0" not in told.stdout:
            speed *= reply["throttled"]
    return speed


class _Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = time.monotonic_ns()

    def span(self, seconds: float) -> list[int]:
        """[begin, end] of something that takes so long."""
        begin = self.now
        self.now += round(seconds * 1e9)
        return [begin, self.now]


def _logits(tokens: list[int]) -> dict[str, object]:
    return {
        "scale": 0.001,
        "zero_point": 32768,
        "top": [[[token, 60000], [token + 1, 50000]] for token in tokens],
    }


def _finish(report: dict[str, Any], report_path: Path, misbehaviour: dict[str, Any]) -> int:
    """Write the report and end, each in the way asked for; returns the exit code."""
    kind = misbehaviour["kind"]
    text = json.dumps(report)
    spoilt = {
        "nothing": text,
        "empty_report": "",
        "truncated_report": text[: len(text) // 2],
        "garbled_report": text.replace(":", "\x00"),
    }
    if kind in spoilt:
        _write_whole(report_path, spoilt[kind])
        tokens = len(report["iterations"][0]["turns"][0]["generated_token_ids"])
        print("PyTorchObserver " + json.dumps({"generated_tokens": tokens}), flush=True)
        return 0
    if kind == "error":
        error = {
            "exit_code": misbehaviour["code"],
            "name": misbehaviour.get("name", "stub_error"),
            "message": misbehaviour.get("message", "asked to fail"),
            "step": misbehaviour.get("step", "decode"),
        }
        _write_whole(report_path, json.dumps({**report, "status": "error", "error": error}))
        print(error["message"], file=sys.stderr)
    return _end_without_report(kind, misbehaviour)


def _end_without_report(kind: str, misbehaviour: dict[str, Any]) -> int:
    match kind:
        case "hang":
            while True:
                signal.pause()
        case "signal":
            os.kill(os.getpid(), misbehaviour.get("signal", signal.SIGSEGV))
        case "error" | "exit":
            return int(misbehaviour["code"])
        case "no_report":
            return 0
    print(f"stub runner: unknown misbehaviour {kind!r}", file=sys.stderr)
    return _EXIT_BAD_REQUEST


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
