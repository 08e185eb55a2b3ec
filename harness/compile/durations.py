"""How long each kind of job took on this machine the last time. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from harness.cache import make_cache_dir, write_whole
from harness.compile.job import Job
from harness.errors import InputError


def expected_s(cache_dir: Path, job: Job) -> float | None:
    """Seconds that a job like this took last; None if there was none."""
    with suppress(OSError, ValueError, TypeError):
        return float(json.loads(_path(cache_dir, job).read_text(encoding="utf-8")))
    return None


def remember(cache_dir: Path, job: Job, seconds: float) -> None:
    """Keep a duration for `expected_s`. A cache that cannot be written costs the estimate."""
    with suppress(OSError, InputError):
        make_cache_dir(_path(cache_dir, job).parent)
        write_whole(_path(cache_dir, job), json.dumps(round(seconds, 1)).encode())


def _path(cache_dir: Path, job: Job) -> Path:
    """By what the time depends on: not the values of weights, nor what it is calibrated with."""
    like = replace(job, checkpoint="", checkpoint_sha256="", conversations=(), random_seed=None)
    checkpoint = Path(job.checkpoint).name
    text = json.dumps([checkpoint, asdict(like)], sort_keys=True)
    return cache_dir / "durations" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
