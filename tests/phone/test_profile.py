"""What a virtual phone claims to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.virtual_phone.profile import BUILT_IN_PROFILES, find_profile, load_profile

from .conftest import ConnectedPhone, PrivateAdb, StartPhone, connect


@pytest.mark.parametrize("soc", ["SM8550", "SM8650", "SM8750", "SM8850"])
def test_find_profile_of_each_soc_reports_it(soc: str) -> None:
    properties = find_profile(soc).all_properties("s")
    assert properties["ro.soc.model"] == soc
    assert properties["ro.vlm_device_harness.simulated"] == "1"


def test_find_profile_misspelt_soc_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        find_profile("sm8705")
    assert caught.value.hint == "--soc SM8750"
    assert caught.value.expected is not None
    assert all(soc in caught.value.expected for soc in BUILT_IN_PROFILES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soc: SM8750\nprops: {}", "unknown key 'props'"),
        ("soc: SM8750\nsimulated: 'no'", "simulated is 'no'"),
        ("soc: SM8750\ndisk_bytes: big", "disk_bytes is 'big'"),
        ("soc: SM8750\nproperties: {ro.x: 1}", "properties.ro.x is 1"),
        ("soc: SM8750\nenv: [A]", "env is ['A']"),
        ("soc: SM8750\nbattery: {volume: 3}", "unknown key battery.volume"),
        ("soc: SM8750\nthermal: {skin_c: hot}", "thermal.skin_c is 'hot'"),
        ("soc: SM8750\nfaults: offline", "faults is 'offline'"),
        ("soc: SM8750\nfaults: [ofline]", "unknown fault 'ofline'"),
        ("soc: SM9999", "no profile for SoC 'SM9999'"),
        ("abi: x86_64", "no SoC"),
        ("- a list", "the file is ['a list']"),
        ("soc: [", "while parsing"),
    ],
)
def test_load_profile_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "phone.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile(path)
    assert complaint in str(caught.value)


def test_load_profile_for_another_soc_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "phone.yaml"
    path.write_text("soc: SM8650")
    with pytest.raises(InputError, match="it is for SM8650, not SM8750"):
        load_profile(path, "SM8750")


def test_load_profile_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_profile(tmp_path / "absent.yaml")


def test_profile_properties_and_environment_reach_the_phone(
    adb: PrivateAdb, start_phone: StartPhone, tmp_path: Path
) -> None:
    path = tmp_path / "phone.yaml"
    path.write_text(
        "simulated: false\nabi: arm64-v8a\nenv: {VLM_STUB_SCRIPT: /x/script.json}\n"
        "properties: {ro.product.model: 'Some \"Phone\" $1'}\ndisk_bytes: 1073741824\n"
        "battery: {level_percent: 42, temperature_c: 31.5}\nthermal: {skin_c: 36.5}\n"
    )
    phone = connect(adb, start_phone(soc="SM8650", profile_path=path))
    assert phone.text("getprop ro.soc.model") == "SM8650"
    assert phone.text("getprop ro.product.cpu.abi") == "arm64-v8a"
    assert phone.text("getprop ro.product.model") == 'Some "Phone" $1'
    assert phone.text("getprop ro.vlm_device_harness.simulated") == ""
    assert phone.text("echo $VLM_STUB_SCRIPT") == "/x/script.json"
    battery = phone.text("dumpsys battery")
    assert "level: 42" in battery
    assert "temperature: 315" in battery
    assert "mValue=36.5, mType=3" in phone.text("dumpsys thermalservice")
    total_kib = phone.text("df -k /data/local/tmp | tail -1").split()[1]
    assert total_kib == "1048576"


def test_getprop_without_a_name_lists_all(shared_phone: ConnectedPhone) -> None:
    assert "[ro.soc.model]: [SM8750]" in shared_phone.text("getprop").splitlines()


def test_getprop_unknown_name_prints_the_default(shared_phone: ConnectedPhone) -> None:
    assert shared_phone.text("getprop ro.no.such fallback") == "fallback"


def test_uptime_is_the_phones_and_goes_on(shared_phone: ConnectedPhone) -> None:
    first, second = shared_phone.text("cat /proc/uptime; sleep 0.3; cat /proc/uptime").splitlines()
    assert float(first.split()[0]) < float(second.split()[0]) < 600


def test_soc_id_is_that_of_the_soc(shared_phone: ConnectedPhone) -> None:
    assert shared_phone.text("cat /sys/devices/soc0/soc_id") == "618"
