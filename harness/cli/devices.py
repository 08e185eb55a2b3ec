"""The command `devices`."""

from __future__ import annotations

import argparse

from harness.device import AdbServer, DeviceEntry, connect_server, open_device
from harness.errors import HarnessError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--adb-host", "--host", help="host of the adb server (127.0.0.1)")
    parser.add_argument("--adb-port", type=int, help="port of the adb server (5037)")


def main(args: argparse.Namespace) -> int:
    """List devices with what each says of itself."""
    server = connect_server(args.adb_host, args.adb_port)
    entries = server.list_devices()
    if not entries:
        print(f"the adb server at {server.address} knows no device")
        print("plug in a phone with USB debugging on, or: pytest --serial virtual")
    for entry in entries:
        print(f"{entry.serial:<24} {_description(server, entry)}")
    return 0


def _description(server: AdbServer, entry: DeviceEntry) -> str:
    if entry.state != "device":
        return entry.state
    try:
        facts = open_device(server, entry.serial).facts
    except HarnessError as err:
        return str(err).splitlines()[0]
    soc = facts.soc_id or f"{facts.soc_model or 'unknown SoC'} (not in specs/socs.yaml)"
    return f"{soc:<8} {facts.abi:<10} {facts.model_name}" + (
        "  simulated" if facts.simulated else ""
    )
