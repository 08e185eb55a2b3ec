"""The table of SoCs, `specs/socs.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from harness.errors import InputError

SOC_TABLE_NAME = "socs.yaml"


@dataclass(frozen=True)
class Soc:
    """One Snapdragon.

    `htp_arch` is the Hexagon version (79 for V79), `soc_models` the values of
    `ro.soc.model` that mean this SoC, `dram_gb_per_s` its peak bandwidth in 10^9 byte/s
    (None: unknown).
    """

    id: str
    htp_arch: int
    soc_models: tuple[str, ...]
    dram_gb_per_s: float | None


def specs_dir() -> Path:
    """The repository's `specs` folder, beside the package `harness`."""
    return Path(__file__).resolve().parents[1] / "specs"


@cache
def load_socs() -> Mapping[str, Soc]:
    """All known SoCs by id, in the table's order. InputError if the table is unusable."""
    path = specs_dir() / SOC_TABLE_NAME
    doing = f"reading the SoC table {path}"
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        return MappingProxyType({name: _read_soc(name, row) for name, row in table.items()})
    except OSError as err:
        raise InputError(doing, f"{err.strerror}") from err
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as err:
        raise InputError(
            doing,
            f"not a table of SoCs ({err})",
            expected="per SoC htp_arch, soc_models and dram_gb_per_s",
        ) from err


def find_soc(name: str) -> Soc:
    """The SoC of that id or `ro.soc.model` value; case does not matter.

    InputError with the nearest known name if there is none.
    """
    socs = load_socs()
    wanted = name.strip().upper()
    for soc in socs.values():
        if wanted == soc.id or wanted in soc.soc_models:
            return soc
    import difflib

    near = difflib.get_close_matches(wanted, list(socs), n=1)
    raise InputError(
        "choosing the SoC",
        f"unknown SoC {name!r}",
        expected=", ".join(socs),
        hint=f"did you mean {near[0]}?" if near else None,
    )


def _read_soc(name: str, row: dict[str, Any]) -> Soc:
    bandwidth = row["dram_gb_per_s"]
    return Soc(
        id=name,
        htp_arch=int(row["htp_arch"]),
        soc_models=tuple(str(model) for model in row["soc_models"]),
        dram_gb_per_s=None if bandwidth is None else float(bandwidth),
    )
