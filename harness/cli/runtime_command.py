"""The command `runtime`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.runtime import build_runtime
from harness.vocabulary import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--abi",
        required=True,
        help="the device's ABI: x86_64 (virtual phone), aarch64 (Linux board), arm64-v8a (phone)",
    )
    parser.add_argument("--htp-arch", type=int, help="the phone's HTP arch (79), for arm64-v8a")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="qnn",
        help="xnnpack: without QNN files",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")


def main(args: argparse.Namespace) -> int:
    """Make a Runtime folder."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    runtime = build_runtime(args.abi, args.out, tell, args.htp_arch, args.backend)
    print(runtime.dir)
    return 0
