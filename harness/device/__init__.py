"""The device layer: all that is done over adb.

A device is anything that speaks adb. `connect_server` or `start_private_server`, then
`open_device`, then `run_on_device`.
"""

from harness.device.adb_program import adb_program
from harness.device.deadline import Deadline
from harness.device.device import Device, DeviceFacts, open_device
from harness.device.fitness import Fitness, read_fitness
from harness.device.lease import LEASE_S, Lease, take_lease
from harness.device.private_server import PrivateServer, start_private_server
from harness.device.push import PushStats, deploy
from harness.device.run import LOGITS_NAME, RunOutcome, RunPlan, run_on_device
from harness.device.server import AdbServer, DeviceEntry, connect_server
from harness.device.shell import CommandResult
from harness.device.store import LocalFile

__all__ = [
    "LEASE_S",
    "LOGITS_NAME",
    "AdbServer",
    "CommandResult",
    "Deadline",
    "Device",
    "DeviceEntry",
    "DeviceFacts",
    "Fitness",
    "Lease",
    "LocalFile",
    "PrivateServer",
    "PushStats",
    "RunOutcome",
    "RunPlan",
    "adb_program",
    "connect_server",
    "deploy",
    "open_device",
    "read_fitness",
    "run_on_device",
    "start_private_server",
    "take_lease",
]
