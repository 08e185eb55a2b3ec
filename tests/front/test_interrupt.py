"""Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from .sessions import Bench, processes_with
from .workplace import RED, Workplace

GONE_S = 10.0


def test_interrupt_ends_run_phone_and_server(
    bench: Bench, workplace: Workplace, tmp_path: Path
) -> None:
    workplace.furnish("simulator", {**RED, "misbehave": {"kind": "hang"}})
    cache_dir = tmp_path / "cache"
    session = bench.start(
        [*workplace.args, "--serial", "virtual"],
        environ={"VLM_HARNESS_CACHE": str(cache_dir), "TMPDIR": str(tmp_path)},
    )
    disk = bench.disk("SM8750-default", cache_dir)
    session.wait_for(disk.runners, "a runner on the phone")
    assert processes_with(str(cache_dir))
    os.killpg(session.process.pid, signal.SIGINT)
    done = session.finish()
    assert done.exit_status == 2
    assert "KeyboardInterrupt" in done.output
    assert not disk.run_folders()
    assert not disk.runners()
    end = time.monotonic() + GONE_S
    while left := processes_with(str(tmp_path)):
        assert time.monotonic() < end, left
        time.sleep(0.05)
    assert not list(tmp_path.glob("vlm-harness-adb-*"))
