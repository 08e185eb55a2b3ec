"""What a virtual phone claims to be.

A profile is built in per SoC; a YAML file may change it::

    soc: SM8750              # or --soc
    abi: arm64-v8a           # what it claims; it executes this host's code all the same
    simulated: false         # leaves out ro.vlm_device_harness.simulated
    properties: {ro.product.model: Some Phone}
    env: {VLM_STUB_SCRIPT: /somewhere/script.json}   # for every command
    disk_bytes: 64000000000
    battery: {level_percent: 80, temperature_c: 31.5, powered: true}
    thermal: {status: 0, skin_c: 33.0, cpu_c: 41.0}
    faults: [offline]        # harness/virtual_phone/faults.py
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import yaml

from harness.errors import InputError
from harness.virtual_phone.faults import Faults, parse_faults

SIMULATED_PROPERTY = "ro.vlm_device_harness.simulated"


@dataclass(frozen=True)
class Battery:
    """What `dumpsys battery` starts from."""

    level_percent: int = 87
    temperature_c: float = 29.0
    powered: bool = True


@dataclass(frozen=True)
class Thermal:
    """What `dumpsys thermalservice` starts from; status is Android's 0 (none) to 6."""

    status: int = 0
    skin_c: float = 31.0
    cpu_c: float = 38.0


@dataclass(frozen=True)
class PhoneProfile:
    """One virtual phone."""

    soc: str  # the ro.soc.model it reports, "SM8750"
    soc_id: int  # /sys/devices/soc0/soc_id, from Linux' dt-bindings/arm/qcom,ids.h
    platform: str  # ro.board.platform, "sun"
    abi: str = "x86_64"
    simulated: bool = True
    properties: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    disk_bytes: int = 256_000_000_000
    battery: Battery = Battery()
    thermal: Thermal = Thermal()
    faults: Faults = field(default_factory=Faults)

    def all_properties(self, serial: str) -> dict[str, str]:
        """Everything `getprop` knows, overrides included."""
        model = f"Virtual {self.soc}"
        build = f"virtual/{self.platform}/{self.platform}:16/VLM.1/1:userdebug/test-keys"
        known = {
            "ro.soc.model": self.soc,
            "ro.soc.manufacturer": "QTI",
            "ro.board.platform": self.platform,
            "ro.hardware": "qcom",
            "ro.serialno": serial,
            "ro.product.model": model,
            "ro.product.name": self.platform,
            "ro.product.device": self.platform,
            "ro.product.brand": "virtual",
            "ro.product.manufacturer": "vlm-device-harness",
            "ro.product.cpu.abi": self.abi,
            "ro.product.cpu.abilist": self.abi,
            "ro.build.fingerprint": build,
            "ro.build.version.release": "16",
            "ro.build.version.sdk": "36",
            "ro.build.type": "userdebug",
            "sys.boot_completed": "1",
        }
        if self.simulated:
            known[SIMULATED_PROPERTY] = "1"
        return {**known, **self.properties}


BUILT_IN_PROFILES: dict[str, PhoneProfile] = {
    profile.soc: profile
    for profile in (
        PhoneProfile("SM8550", 519, "kalama"),
        PhoneProfile("SM8650", 557, "pineapple"),
        PhoneProfile("SM8750", 618, "sun"),
        PhoneProfile("SM8850", 660, "canoe"),
    )
}


def find_profile(soc: str) -> PhoneProfile:
    """The built-in profile of a SoC.

    Raises:
        InputError: there is none of that name.
    """
    if soc in BUILT_IN_PROFILES:
        return BUILT_IN_PROFILES[soc]
    near = difflib.get_close_matches(soc.upper(), BUILT_IN_PROFILES, n=1)
    raise InputError(
        "choosing a virtual phone",
        f"no profile for SoC {soc!r}",
        expected="one of " + ", ".join(BUILT_IN_PROFILES),
        hint=f"--soc {near[0]}" if near else None,
    )


def load_profile(path: Path, soc: str | None = None) -> PhoneProfile:
    """A profile from a YAML file, over the built-in one of its SoC.

    Args:
        path: the file.
        soc: the SoC when the file names none; both must agree.

    Raises:
        InputError: the file cannot be read, has an unknown key or a value of another type.
    """
    doing = f"reading the phone profile {path}"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as err:
        raise InputError(doing, str(err)) from err
    values = _string_keys(document, doing, "the file")
    named = values.pop("soc", soc)
    if not isinstance(named, str):
        raise InputError(doing, "no SoC", hint="write `soc: SM8750` in it, or give --soc")
    if soc is not None and named != soc:
        raise InputError(doing, f"it is for {named}, not {soc}", hint=f"--soc {named}")
    return replace(find_profile(named), **_checked(values, doing))  # type: ignore[arg-type]


# Key of the file -> the type of its value. The fixed traits of a SoC are not in it.
_KEYS: dict[str, type] = {
    "abi": str,
    "simulated": bool,
    "properties": dict,
    "env": dict,
    "disk_bytes": int,
    "battery": Battery,
    "thermal": Thermal,
    "faults": list,
}


def _checked(values: dict[str, object], doing: str) -> dict[str, object]:
    """The values of known keys, each as the profile's field wants it."""
    checked: dict[str, object] = {}
    for key, value in values.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise InputError(
                doing,
                f"unknown key {key!r}",
                expected="soc, " + ", ".join(_KEYS),
                hint=f"did you mean {near[0]}?" if near else None,
            )
        kind = _KEYS[key]
        if kind is dict:
            checked[key] = _text_mapping(value, doing, key)
        elif kind in (Battery, Thermal):
            checked[key] = _readings(kind, value, doing, key)
        elif kind is list:
            if not isinstance(value, list):
                raise InputError(doing, f"{key} is {value!r}", expected="a list")
            checked[key] = parse_faults(value, doing)
        elif type(value) is not kind:
            raise InputError(doing, f"{key} is {value!r}", expected=f"a {kind.__name__}")
        else:
            checked[key] = value
    return checked


def _string_keys(value: object, doing: str, what: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(doing, f"{what} is {value!r}", expected="a mapping with text keys")
    return dict(value)


def _text_mapping(value: object, doing: str, key: str) -> dict[str, str]:
    """A mapping of texts; a number or boolean in its place was meant as text but is not one."""
    mapping = _string_keys(value, doing, key)
    for name, text in mapping.items():
        if not isinstance(text, str) or "\n" in text:
            raise InputError(
                doing, f"{key}.{name} is {text!r}", expected="one line of text; quote numbers"
            )
    return {name: str(text) for name, text in mapping.items()}


def _readings(kind: type, value: object, doing: str, key: str) -> object:
    """A Battery or Thermal with the readings that the file gives."""
    known = {item.name: item for item in fields(kind)}
    given = _string_keys(value, doing, key)
    for name, reading in given.items():
        if name not in known:
            raise InputError(doing, f"unknown key {key}.{name}", expected=", ".join(known))
        wanted = type(known[name].default)
        allowed = (int, float) if wanted is float else (wanted,)
        if type(reading) not in allowed:
            raise InputError(doing, f"{key}.{name} is {reading!r}", expected=f"a {wanted.__name__}")
    return kind(**given)
