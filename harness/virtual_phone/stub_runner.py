#!/usr/bin/env python3
"""A runner without a model: scripted replies and times instead of inference.

Takes the runner's arguments, answers with its report. What to answer stands in a JSON
file: `VLM_STUB_SCRIPT` in the environment, else `stub_script.json` in the run folder::

    {"replies": [{"match": {"prompt_token_ids": [1, 2], "image_sha256": ["..."], "mode": "kv"},
                  "reply": {"reply_token_ids": [5, 6, 2]}}],
     "default": {"reply_token_ids": [7, 2], "decode_tokens_per_s": 60.0}}

The first entry whose `match` agrees in every key it has is taken, else `default`. Keys of
a reply, all optional: `reply_token_ids`, `prefill_s`, `decode_tokens_per_s`, `encode_s` (per
image), `load_s` (per component), `peak_rss_bytes`, `context_length`, `prefill_ar_len`,
`requantized_entries`, `sleep_s` (real time the run takes; all other times are only told),
`stderr`, and `misbehave`:

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
import signal
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
        reply = find_reply(script, request)
    except (OSError, ValueError, LookupError) as err:
        print(f"stub runner: {err}", file=sys.stderr)
        return _EXIT_BAD_REQUEST
    if "stderr" in reply:
        print(reply["stderr"], file=sys.stderr, flush=True)
    time.sleep(reply.get("sleep_s", 0.0))
    report = make_report(request, reply)
    return _finish(report, args.report, reply.get("misbehave", {"kind": "nothing"}))


def find_reply(script: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The script's reply to a request.

    Raises:
        LookupError: it has none.
        OSError: an image of the request cannot be read.
    """
    facts: dict[str, object] = {
        "prompt_token_ids": request["prompt_token_ids"],
        "mode": request["mode"],
        "image_sha256": [
            hashlib.sha256(Path(image["path"]).read_bytes()).hexdigest()
            for image in request["images"]
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


def make_report(request: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    """The report of a run that gives this reply to this request."""
    prompt = request["prompt_token_ids"]
    tokens, stop_reason = _generated(request, reply)
    peak_rss_bytes = reply.get("peak_rss_bytes", 512 << 20)
    return {
        "schema_version": 1,
        "status": "ok",
        "error": None,
        "mode": request["mode"],
        "prompt_tokens": len(prompt),
        "image_tokens": prompt.count(request["image_token_id"]),
        "generated_token_ids": tokens,
        "stop_reason": stop_reason,
        "context_length": reply.get("context_length", 1024),
        "prefill_ar_len": reply.get("prefill_ar_len", 1 if request["mode"] == "kv" else 32),
        "timestamps_ns": _timestamps(request, reply, len(tokens)),
        "memory": {
            "rss_after_load_bytes": peak_rss_bytes // 2,
            "rss_after_prefill_bytes": peak_rss_bytes * 3 // 4,
            "peak_rss_bytes": peak_rss_bytes,
        },
        "requantized_entries": reply.get("requantized_entries", 0),
        "logits": _logits(tokens) if request.get("record_logits") else None,
        "build": {"compiler": "stub", "build_type": "Release", "abi": "x86_64"},
    }


def _generated(request: dict[str, Any], reply: dict[str, Any]) -> tuple[list[int], str]:
    """The reply's tokens up to the first stop token or the limit, and why they end."""
    stop_ids = set(request["stop_token_ids"])
    tokens: list[int] = []
    for token in reply.get("reply_token_ids", []):
        if len(tokens) == request["max_new_tokens"]:
            return tokens, "max_new_tokens"
        tokens.append(token)
        if token in stop_ids:
            return tokens, "stop_token"
    return tokens, "max_new_tokens"


def _timestamps(
    request: dict[str, Any], reply: dict[str, Any], token_count: int
) -> dict[str, object]:
    """steady_clock times as scripted, from now on, in nanoseconds."""
    clock = _Clock()
    start = clock.now
    load_s = reply.get("load_s", 0.05)
    load = {
        component: clock.span(load_s)
        for component in ("vision_encoder", "tok_embedding", "text_decoder")
    }
    inference_start = clock.now
    images = [clock.span(reply.get("encode_s", 0.02)) for _image in request["images"]]
    prefill = clock.span(reply.get("prefill_s", 0.1))
    tokens = [clock.now] if token_count else []
    step_s = 1.0 / reply.get("decode_tokens_per_s", 50.0)
    for _token in range(token_count - 1):
        tokens.append(clock.span(step_s)[1])
    return {
        "start": start,
        "load": load,
        "inference_start": inference_start,
        "images": images,
        "prefill": prefill,
        "prefill_steps": [prefill],
        "tokens": tokens,
        "inference_end": clock.now,
    }


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
        tokens = len(report["generated_token_ids"])
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
