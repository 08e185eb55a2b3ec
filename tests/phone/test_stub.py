"""The stub runner and its Runtime folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.metrics import decode_tokens_per_s, prefill_tokens_per_s
from harness.report import Report, parse_report
from harness.runtime import load_runtime
from harness.virtual_phone.stub_runner import make_report
from harness.virtual_phone.stub_runtime import make_stub_runtime

from .conftest import ConnectedPhone

REQUEST: dict[str, Any] = {
    "schema_version": 2,
    "mode": "hybrid",
    "turns": [
        {
            "prompt_token_ids": [1, 9, 9, 3],
            "images": [{"path": "pixels_0.bin", "shape": [1, 3, 2, 2]}],
        }
    ],
    "image_token_id": 9,
    "stop_token_ids": [2],
    "max_new_tokens": 4,
}
PIXELS = bytes(48)


def _first_turn(text: bytes) -> dict[str, Any]:
    turn: dict[str, Any] = json.loads(text)["iterations"][0]["turns"][0]
    return turn


def _run(
    phone: ConnectedPhone, folder: Path, script: dict[str, Any], **changes: object
) -> tuple[int, bytes]:
    """Exit code and report of one run on the phone."""
    runtime = make_stub_runtime(folder / "runtime", script)
    (runtime / "pixels_0.bin").write_bytes(PIXELS)
    (runtime / "request.json").write_text(json.dumps({**REQUEST, **changes}))
    remote = f"/data/local/tmp/{folder.name}"
    phone.text(f"rm -rf {remote}")
    phone.run("push", str(runtime), remote)
    code = phone.shell(
        f"cd {remote} && LD_LIBRARY_PATH=. ./vlm_runner --request request.json --report report.json"
    ).returncode
    return code, phone.run("exec-out", f"cat {remote}/report.json 2>/dev/null").stdout


def test_stub_scripted_reply_becomes_the_report(
    shared_phone: ConnectedPhone, tmp_path: Path
) -> None:
    reply = {
        "reply_token_ids": [5, 6, 2, 7],
        "prefill_s": 0.5,
        "encode_s": 0.25,
        "decode_tokens_per_s": 40.0,
        "peak_rss_bytes": 1000,
    }
    code, text = _run(shared_phone, tmp_path, {"default": reply})
    report, turn = json.loads(text), _first_turn(text)
    times = turn["timestamps_ns"]
    assert code == 0
    assert turn["generated_token_ids"] == [5, 6, 2]
    assert turn["stop_reason"] == "stop_token"
    assert (turn["prompt_tokens"], turn["image_tokens"]) == (4, 2)
    assert times["prefill"][1] - times["prefill"][0] == 500_000_000
    assert times["images"][0][1] - times["images"][0][0] == 250_000_000
    assert times["tokens"][2] - times["tokens"][0] == 50_000_000
    assert report["load_ns"]["start"] <= times["inference_start"] <= times["tokens"][0]
    assert times["tokens"][-1] <= times["inference_end"]
    assert report["memory"]["peak_rss_bytes"] == 1000


def _report(request: dict[str, Any], replies: list[dict[str, Any]]) -> Report:
    return parse_report(json.dumps(make_report(request, replies)).encode())


def test_stub_report_is_one_the_harness_reads() -> None:
    reply = {"reply_token_ids": [5, 6, 7, 2], "prefill_s": 0.5, "decode_tokens_per_s": 40.0}
    request = {**REQUEST, "record_logits": "top2"}
    (turn,) = _report(request, [reply]).measured[0].turns
    assert turn.generated_token_ids == (5, 6, 7, 2)
    assert decode_tokens_per_s(turn) == pytest.approx(40.0)
    assert prefill_tokens_per_s(turn) == pytest.approx(8.0)


def test_stub_repeats_follow_warm_ups_in_one_report() -> None:
    report = _report({**REQUEST, "warmup": 1, "repeat": 2}, [{"reply_token_ids": [5, 2]}])
    assert [iteration.warmup for iteration in report.iterations] == [True, False, False]
    starts = [it.turns[0].timestamps_ns.inference_start for it in report.iterations]
    assert starts == sorted(set(starts))


def test_stub_turns_are_answered_one_by_one() -> None:
    request = {**REQUEST, "turns": [*REQUEST["turns"], {"prompt_token_ids": [4], "images": []}]}
    report = _report(request, [{"reply_token_ids": [5, 2]}, {"reply_token_ids": [6, 2]}])
    found = [turn.generated_token_ids for turn in report.measured[0].turns]
    assert found == [(5, 2), (6, 2)]


def test_stub_fixed_tokens_are_exactly_so_many() -> None:
    (turn,) = (
        _report({**REQUEST, "fixed_tokens": 5}, [{"reply_token_ids": [5, 2]}]).measured[0].turns
    )
    assert (turn.generated_token_ids, turn.stop_reason) == ((5, 2, 5, 2, 5), "fixed_tokens")


def test_stub_teacher_forced_reply_is_agreed_with() -> None:
    turns = [{**REQUEST["turns"][0], "teacher_forced_token_ids": [8, 9]}]
    (turn,) = _report({**REQUEST, "turns": turns}, [{}]).measured[0].turns
    assert (turn.generated_token_ids, turn.stop_reason) == ((8, 9), "teacher_forced")


def test_stub_runtime_is_one_the_harness_loads(tmp_path: Path) -> None:
    runtime = load_runtime(make_stub_runtime(tmp_path / "runtime", {"default": {}}))
    assert (runtime.abi, runtime.htp_archs, runtime.executable) == ("x86_64", None, "vlm_runner")


def test_stub_reply_is_cut_at_the_limit(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    script = {"default": {"reply_token_ids": [5, 6, 7]}}
    _code, text = _run(shared_phone, tmp_path, script, max_new_tokens=2)
    turn = _first_turn(text)
    assert turn["generated_token_ids"] == [5, 6]
    assert turn["stop_reason"] == "max_new_tokens"


@pytest.mark.parametrize(
    ("match", "tokens"),
    [
        ({"prompt_token_ids": [1, 9, 9, 3]}, [8]),
        ({"image_sha256": [hashlib.sha256(PIXELS).hexdigest()]}, [8]),
        ({"mode": "kv"}, [4]),
        ({"prompt_token_ids": [1]}, [4]),
    ],
)
def test_stub_reply_is_chosen_by_the_request(
    shared_phone: ConnectedPhone, tmp_path: Path, match: dict[str, Any], tokens: list[int]
) -> None:
    script = {
        "replies": [{"match": match, "reply": {"reply_token_ids": [8]}}],
        "default": {"reply_token_ids": [4]},
    }
    _code, text = _run(shared_phone, tmp_path, script)
    assert _first_turn(text)["generated_token_ids"] == tokens


@pytest.mark.parametrize(
    ("misbehave", "code", "reported"),
    [
        ({"kind": "signal", "signal": 11}, 139, False),
        ({"kind": "exit", "code": 3}, 3, False),
        ({"kind": "no_report"}, 0, False),
        ({"kind": "empty_report"}, 0, False),
        ({"kind": "truncated_report"}, 0, True),
        ({"kind": "garbled_report"}, 0, True),
        ({"kind": "unheard-of"}, 2, False),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_stub_misbehaviour_leaves_no_usable_report(
    shared_phone: ConnectedPhone,
    tmp_path: Path,
    misbehave: dict[str, Any],
    code: int,
    reported: bool,
) -> None:
    script = {"default": {"reply_token_ids": [5], "misbehave": misbehave}}
    found, text = _run(shared_phone, tmp_path, script)
    assert (found, bool(text)) == (code, reported)
    with pytest.raises(ValueError, match=r"."):
        json.loads(text)


def test_stub_error_is_reported(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    misbehave = {"kind": "error", "code": 12, "name": "load_failed", "message": "no graph"}
    code, text = _run(shared_phone, tmp_path, {"default": {"misbehave": misbehave}})
    report = json.loads(text)
    assert code == 12
    assert report["status"] == "error"
    assert (report["error"]["exit_code"], report["error"]["message"]) == (12, "no graph")


def test_stub_without_a_matching_reply_fails(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    assert _run(shared_phone, tmp_path, {"replies": []})[0] == 2


def test_make_stub_runtime_lists_its_files_truly(tmp_path: Path) -> None:
    folder = make_stub_runtime(tmp_path / "runtime", {"default": {}}, htp_archs=[79])
    description = json.loads((folder / "runtime.json").read_text())
    assert description["htp_archs"] == [79]
    assert set(description["files"]) == {"vlm_runner", "stub_script.json"}
    for name, entry in description["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
