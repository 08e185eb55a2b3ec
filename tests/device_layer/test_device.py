from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.device import Deadline, Device, PrivateServer, open_device
from harness.errors import (
    AmbiguousDevice,
    DeviceLost,
    DeviceMismatch,
    DeviceNotFound,
    DeviceNotUsable,
    InputError,
)
from harness.virtual_phone import VirtualPhone

PhoneStarter = Callable[..., VirtualPhone]
WaitUntil = Callable[[Callable[[], bool], str], None]


def state_of(server: PrivateServer, serial: str) -> str | None:
    return {entry.serial: entry.state for entry in server.server.list_devices()}.get(serial)


def test_open_device_the_only_one_needs_no_serial(
    own_server: PrivateServer, start_phone: PhoneStarter
) -> None:
    phone = start_phone("SM8650")
    own_server.server.connect_tcp(phone.serial)
    facts = open_device(own_server.server).facts
    assert facts.serial == phone.serial
    assert (facts.soc_model, facts.soc_id, facts.abi) == ("SM8650", "SM8650", "x86_64")
    assert facts.simulated


def test_open_device_phone_that_does_not_own_to_it_is_not_simulated(
    own_server: PrivateServer, start_phone: PhoneStarter, tmp_path: Path
) -> None:
    profile_path = tmp_path / "profile.yaml"
    profile_path.write_text("simulated: false\nproperties: {ro.soc.model: XY1}\n")
    phone = start_phone("SM8750", profile_path=profile_path)
    own_server.server.connect_tcp(phone.serial)
    facts = open_device(own_server.server).facts
    assert not facts.simulated
    assert (facts.soc_model, facts.soc_id) == ("XY1", None)
    with pytest.raises(DeviceMismatch, match="XY1"):
        open_device(own_server.server, soc="SM8750")


def test_open_device_none_connected_is_not_found(own_server: PrivateServer) -> None:
    with pytest.raises(DeviceNotFound, match="--serial virtual"):
        open_device(own_server.server)


def test_open_device_absent_serial_lists_what_is_there(device: Device) -> None:
    with pytest.raises(DeviceNotFound) as caught:
        open_device(device.server, "R5CX0000000")
    assert caught.value.serial == "R5CX0000000"
    assert device.serial in str(caught.value)
    assert "python -m harness devices" in str(caught.value)


def test_open_device_two_and_no_serial_is_ambiguous(
    own_server: PrivateServer, start_phone: PhoneStarter
) -> None:
    serials = [start_phone(soc).serial for soc in ("SM8650", "SM8750")]
    for serial in serials:
        own_server.server.connect_tcp(serial)
    with pytest.raises(AmbiguousDevice) as caught:
        open_device(own_server.server)
    assert all(serial in str(caught.value) for serial in serials)
    assert "hint:     --serial " in str(caught.value)


def test_open_device_other_soc_is_a_mismatch(device: Device) -> None:
    with pytest.raises(DeviceMismatch, match=r"SM8650.*'SM8750'") as caught:
        open_device(device.server, device.serial, "SM8650")
    assert "--soc SM8750" in str(caught.value)


def test_open_device_right_soc_passes(device: Device) -> None:
    assert open_device(device.server, device.serial, "SM8750") == device


def test_open_device_unknown_soc_is_an_input_error(device: Device) -> None:
    with pytest.raises(InputError, match="SM9999"):
        open_device(device.server, device.serial, "SM9999")


def test_open_device_offline_is_not_usable(
    private: PrivateServer, start_phone: PhoneStarter, wait_until: WaitUntil
) -> None:
    phone = start_phone(faults=["offline"])
    private.server.connect_tcp(phone.serial)
    wait_until(lambda: state_of(private, phone.serial) == "offline", "state offline")
    try:
        with pytest.raises(DeviceNotUsable, match="offline") as caught:
            open_device(private.server, phone.serial)
    finally:
        private.server.disconnect(phone.serial)
    assert caught.value.serial == phone.serial
    assert "hint:" in str(caught.value)


def test_connect_tcp_and_open_device_unauthorized_are_not_usable(
    own_server: PrivateServer, private: PrivateServer, start_phone: PhoneStarter
) -> None:
    phone = start_phone(authorized_key=private.public_key_path)
    with pytest.raises(DeviceNotUsable, match="authenticate"):
        own_server.server.connect_tcp(phone.serial)
    with pytest.raises(DeviceNotUsable, match="unauthorized") as caught:
        open_device(own_server.server, phone.serial)
    assert "accept this computer's key" in str(caught.value)


def test_shell_of_a_phone_that_went_away_is_lost(
    own_server: PrivateServer, start_phone: PhoneStarter
) -> None:
    phone = start_phone()
    own_server.server.connect_tcp(phone.serial)
    device = open_device(own_server.server)
    phone.stop()
    with pytest.raises(DeviceLost) as caught:
        device.shell(["true"], Deadline(10))
    assert caught.value.serial == phone.serial


def test_shell_of_a_dead_server_blames_the_server(
    own_server: PrivateServer, start_phone: PhoneStarter
) -> None:
    phone = start_phone()
    own_server.server.connect_tcp(phone.serial)
    device = open_device(own_server.server)
    own_server.stop()
    with pytest.raises(DeviceLost, match=r"adb server at .* no longer answers"):
        device.shell(["true"], Deadline(10))


def test_importing_the_device_layer_loads_no_adbutils() -> None:
    code = "import sys, harness.device; sys.exit('adbutils' in sys.modules)"
    repository = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=repository).returncode == 0
