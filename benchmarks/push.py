"""Our push against `adb push` on the same link: one large file, and many small ones.

    python benchmarks/push.py [--pairs 5] [--large-mb 500] [--small 200] [--small-bytes 20000]
                              [--link-mb-per-s 100]

A virtual phone behind a private adb server. Each pair is one push by either, the order alternating
from pair to pair, so that what else the machine does meets both; the phone's folders are emptied
before each. `ratio` is the median over the pairs of our throughput over adb's, so at least 1 is as
fast as adb. Ours looks into the store, sends, has the phone verify and name the files; adb's sends
only. `second_run_bytes` is what a further deployment of the same files sends.

Twice: on a link of `--link-mb-per-s`, which is a phone's on a USB 3 cable, and on one without
limit. On the latter the phone's sha256sum decides, which here is the PC's: without the SHA
instructions that phones have it hashes less than the loopback brings.

`--folder DIR` says where the files and the phone's disk lie (a folder in $TMPDIR): flushing costs
what that disk takes. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from context import context

from harness.cache import CACHE_VARIABLE
from harness.device import (
    Deadline,
    Device,
    LocalFile,
    adb_program,
    deploy,
    open_device,
    start_private_server,
)
from harness.device.store import STORE_DIR
from harness.virtual_phone import start_virtual_phone

ADB_DIR = "/data/local/tmp/by-adb"
CLEAR_S = 60.0


@dataclass(frozen=True)
class Comparison:
    """Seconds of each push, pair by pair, and what follows from them."""

    size_bytes: int
    ours_s: list[float]
    adb_s: list[float]
    ratio: float
    ratios: list[float]
    ours_mb_per_s: float
    adb_mb_per_s: float
    second_run_bytes: int


def make_files(folder: Path, count: int, size_bytes: int) -> list[LocalFile]:
    """Files of random bytes, which no compression on the way makes smaller."""
    folder.mkdir()
    files = []
    for number in range(count):
        content = os.urandom(size_bytes)
        path = folder / f"{number:03}.bin"
        path.write_bytes(content)
        files.append(LocalFile(path, hashlib.sha256(content).hexdigest(), size_bytes))
    return files


def timed(device: Device, push: Callable[[], object]) -> float:
    """Seconds of one push to a phone that has nothing."""
    device.shell(["rm", "-rf", ADB_DIR, STORE_DIR], Deadline(CLEAR_S)).check("clearing", "")
    device.shell(["mkdir", "-p", ADB_DIR], Deadline(CLEAR_S)).check("clearing", "")
    os.sync()  # of what the push before has left to be written
    started = time.monotonic()
    push()
    return time.monotonic() - started


def compare(device: Device, folder: Path, files: Sequence[LocalFile], pairs: int) -> Comparison:
    """`pairs` pushes of the same files by either."""
    adb = [adb_program(prefer_bundled=True), "-P", str(device.server.port), "-s", device.serial]
    by_name = {file.path.name: file for file in files}

    def push_ours() -> int:
        return deploy(device, by_name).pushed_bytes

    def push_adb() -> None:
        subprocess.run([*adb, "push", folder, ADB_DIR], check=True, capture_output=True)

    ours_s, adb_s, size_bytes = [], [], sum(file.size_bytes for file in files)
    for pair in range(pairs):
        order = [(push_ours, ours_s), (push_adb, adb_s)]
        for push, seconds in order if pair % 2 == 0 else reversed(order):
            seconds.append(round(timed(device, push), 4))
    push_ours()
    ratios = [adb / ours for ours, adb in zip(ours_s, adb_s, strict=True)]
    return Comparison(
        size_bytes,
        ours_s,
        adb_s,
        round(statistics.median(ratios), 3),
        [round(ratio, 3) for ratio in ratios],
        round(size_bytes / statistics.median(ours_s) / 1e6, 1),
        round(size_bytes / statistics.median(adb_s) / 1e6, 1),
        push_ours(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--large-mb", type=int, default=500)
    parser.add_argument("--small", type=int, default=200)
    parser.add_argument("--small-bytes", type=int, default=20_000)
    parser.add_argument("--link-mb-per-s", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        os.environ[CACHE_VARIABLE] = str(folder / "cache")
        sets = {
            "large": make_files(folder / "large", 1, args.large_mb * 1_000_000),
            "small": make_files(folder / "small", args.small, args.small_bytes),
        }
        result: dict[str, object] = {}
        with start_private_server(folder / "home") as private:
            links = {"usb": [f"slow_link={args.link_mb_per_s * 1_000_000}"], "unlimited": []}
            for link, faults in links.items():
                key = private.public_key_path
                phone = start_virtual_phone("SM8750", link, faults=faults, authorized_key=key)
                with phone:
                    private.server.connect_tcp(phone.serial)
                    device = open_device(private.server, phone.serial)
                    compare(device, folder / "small", sets["small"], 1)  # slow only once
                    result[link] = {
                        name: asdict(compare(device, folder / name, files, args.pairs))
                        for name, files in sets.items()
                    }
    settings = {"folder": str(args.folder or ""), "link_mb_per_s": args.link_mb_per_s}
    print(json.dumps({**context(), **settings, **result}, indent=2))


if __name__ == "__main__":
    main()
