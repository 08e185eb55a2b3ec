"""What the store on the phone forgets, and what it never does."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.device import Deadline, Device, LocalFile, RunPlan, deploy, run_on_device, store
from harness.device.device import open_device
from harness.device.store import look_into_store, trim_store
from harness.errors import DeviceError, DeviceFull

FileMaker = Callable[[str, bytes], LocalFile]
Bench = Any  # of conftest.py
BenchStarter = Callable[..., Bench]
DAY_S = 86400
MB = 1_000_000


def blobs(bench: Bench) -> set[str]:
    return {path.name for path in bench.store_dir.iterdir() if path.is_file()}


def used_ago(bench: Bench, file: LocalFile, seconds: float) -> None:
    """Let the last use of a file have been so long ago."""
    moment = time.time() - seconds
    os.utime(bench.store_dir.parent / "used" / file.sha256, (moment, moment))


def trim(device: Device, needed_bytes: int = 0) -> int:
    state = look_into_store(device, {}, Deadline(20))
    return trim_store(device, state, needed_bytes, Deadline(20))


def test_store_each_deployment_is_a_use(bench: Bench, make_file: FileMaker) -> None:
    file = make_file("a", os.urandom(100))
    deploy(bench.device, {"a": file})
    used_ago(bench, file, 40 * DAY_S)
    deploy(bench.device, {"a": file})
    assert trim(bench.device) == 0
    assert file.sha256 in blobs(bench)


def test_store_push_forgets_what_was_not_used_for_long(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench()
    old, new, next_one = (make_file(name, os.urandom(100)) for name in ("old", "new", "next"))
    deploy(bench.device, {"old": old, "new": new})
    used_ago(bench, old, (store.UNUSED_DAYS + 1) * DAY_S + 60)
    used_ago(bench, new, (store.UNUSED_DAYS - 1) * DAY_S)
    deploy(bench.device, {"next": next_one})
    assert blobs(bench) == {new.sha256, next_one.sha256}
    assert deploy(bench.device, {"old": old}).pushed_bytes == 100


def test_store_beyond_its_size_forgets_the_longest_unused_first(
    start_bench: BenchStarter, make_file: FileMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "STORE_LIMIT_BYTES", 21 * MB)
    bench = start_bench()
    files = [make_file(str(n), os.urandom(MB)) for n in range(4)]
    deploy(bench.device, {file.path.name: file for file in files})
    for file, hours in zip(files, (2, 5, 3, 0), strict=True):
        used_ago(bench, file, hours * 3600)
    last = make_file("last", os.urandom(3 * MB // 2))  # and 16 MiB that shall stay free
    deploy(bench.device, {"last": last})
    assert blobs(bench) == {files[0].sha256, files[3].sha256, last.sha256}


def test_store_makes_room_on_a_full_disk_before_it_gives_up(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench(faults=["disk_full=24000000"])
    first, second = (make_file(name, os.urandom(5 * MB)) for name in ("first", "second"))
    deploy(bench.device, {"first": first})
    with pytest.raises(DeviceFull, match="needed"):
        deploy(bench.device, {"second": second})
    assert blobs(bench) == {first.sha256}, "used a moment ago"
    used_ago(bench, first, 3600)
    deploy(bench.device, {"second": second})
    assert blobs(bench) == {second.sha256}


def test_store_trimmed_while_a_run_uses_it_keeps_what_the_run_uses(
    start_bench: BenchStarter, make_file: FileMaker, wait_until: Any
) -> None:
    bench = start_bench()
    script = "while ! [ -e ../../go ]; do sleep 0.05; done; cat weights.bin >report.json"
    weights = os.urandom(50).hex().encode()
    files = {
        "runner": make_file("runner", f"#!/bin/sh\n{script}\n".encode()),
        "weights.bin": make_file("weights.bin", weights),
    }
    idle = make_file("idle", os.urandom(100))
    deploy(bench.device, {"idle": idle})
    plan = RunPlan(files, json.dumps({}).encode(), "runner", 60.0)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(run_on_device(bench.device, plan)))
    thread.start()
    try:
        wait_until(lambda: bool(list(bench.store_dir.parent.glob("runs/*/.group"))), "a run")
        for file in (*files.values(), idle):
            used_ago(bench, file, (store.UNUSED_DAYS + 2) * DAY_S)
        assert trim(bench.device, 100 * 1024**3) > 0
        assert blobs(bench) == {file.sha256 for file in files.values()}
    finally:
        (bench.store_dir.parent / "go").touch()
        thread.join()
    assert outcomes[0].report_json == weights
    assert trim(bench.device) > 0, "nobody uses them any more"
    assert blobs(bench) == set()


def test_store_forgets_at_a_crash_what_the_disk_may_not_hold(
    start_bench: BenchStarter, make_file: FileMaker, wait_until: Any
) -> None:
    bench = start_bench()
    marks = bench.store_dir.parent / "unflushed"
    flushed, unflushed = make_file("a", b"flushed"), make_file("b", b"unflushed")
    deploy(bench.device, {"a": flushed})
    wait_until(lambda: not list(marks.glob("*/*")), "the flush")
    bench.install("fsync", "sleep 60")
    deploy(bench.device, {"b": unflushed})
    assert [path.read_text().split() for path in marks.glob("*/*")] == [[unflushed.sha256]]
    assert deploy(bench.device, {"b": unflushed}).pushed_bytes == 0, "the kernel still lives"
    boot_id = bench.root_dir / "proc/sys/kernel/random/boot_id"
    before = boot_id.read_text()
    with bench.device.transport("rebooting", Deadline(5)) as connection:
        connection.request("reboot:")
    wait_until(lambda: boot_id.read_text() != before and answers(bench.device), "the phone")
    both = {"a": flushed, "b": unflushed}
    assert deploy(bench.device, both).pushed_bytes == unflushed.size_bytes


def answers(device: Device) -> bool:
    try:
        open_device(device.server, device.serial)
    except DeviceError:
        return False
    return True


def test_store_names_are_the_sha256_of_what_lies_there(bench: Bench, make_file: FileMaker) -> None:
    deploy(bench.device, {"a": make_file("a", os.urandom(300)), "b": make_file("b", b"b")})
    for name in blobs(bench):
        content = Path(bench.store_dir / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == name
