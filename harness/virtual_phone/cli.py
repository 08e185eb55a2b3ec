"""The command `virtual-phone`."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from harness.virtual_phone.daemon import DaemonOptions, check_name, phones_dir, run_daemon
from harness.virtual_phone.faults import FAULT_NAMES, merge_faults, parse_fault_options
from harness.virtual_phone.profile import BUILT_IN_PROFILES, find_profile, load_profile

READY = "ready "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--soc", metavar="SOC", help="one of " + ", ".join(BUILT_IN_PROFILES) + " (SM8750)"
    )
    parser.add_argument("--name", default="default", help="tells phones of one SoC apart")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--fresh", action="store_true", help="wipe the phone's disk first")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="YAML: harness/virtual_phone")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="misbehave: " + ", ".join(FAULT_NAMES),
    )
    parser.add_argument(
        "--authorized-key",
        type=Path,
        metavar="PUB",
        help="obey only the adb server with this adbkey.pub",
    )
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when PID does")


def main(args: argparse.Namespace) -> int:
    """Run a virtual phone until it is told to stop; returns the exit status.

    Raises:
        InputError: the options, the profile or the disk cannot be used.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    run_daemon(_options(args), _announce)
    return 0


def _options(args: argparse.Namespace) -> DaemonOptions:
    check_name(args.name)
    if args.profile is not None:
        profile = load_profile(args.profile, args.soc)
    else:
        profile = find_profile(args.soc or "SM8750")
    faults = merge_faults(profile.faults, parse_fault_options(args.fault))
    return DaemonOptions(
        profile=replace(profile, faults=faults),
        name=args.name,
        port=args.port,
        fresh=args.fresh,
        authorized_key=args.authorized_key,
        parent_pid=args.parent_pid,
    )


def _announce(address: str) -> None:
    print(f"connect with: adb connect {address}")
    print(f"disks of virtual phones: {phones_dir()}")
    print(f"{READY}{address}", flush=True)
