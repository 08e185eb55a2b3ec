"""The bench file: hosts with adb servers, and the phones behind them.

::

    schema: 1
    hosts:
      - name: rack-1
        adb: 10.0.0.5:5037        # this machine's own server if left out
        phones:
          - {serial: R5CT1234, soc: SM8750, labels: [rack-1, nightly]}
          - {serial: "10.0.0.77:5555", soc: SM8650}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from harness.bench.phones import Phone
from harness.device.server import DEFAULT_HOST, DEFAULT_PORT
from harness.errors import InputError
from harness.socs import find_soc

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+):(\d{1,5})")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _PhoneEntry(_Strict):
    serial: Annotated[str, StringConstraints(pattern=r"^[\w.:@/-]+$")]
    soc: str
    labels: list[_Name] = Field(default_factory=list)

    @field_validator("soc")
    @classmethod
    def _known(cls, soc: str) -> str:
        try:
            return find_soc(soc).id
        except InputError as err:
            raise ValueError(f"{err.problem}; known: {err.expected}") from err


class _Host(_Strict):
    name: _Name
    adb: str = f"{DEFAULT_HOST}:{DEFAULT_PORT}"
    phones: Annotated[list[_PhoneEntry], Field(min_length=1)]

    @field_validator("adb")
    @classmethod
    def _address(cls, adb: str) -> str:
        found = _ADDRESS.fullmatch(adb)
        if not found or not 0 < int(found[2]) < 65536:
            raise ValueError("no HOST:PORT of an adb server")
        return adb


class _BenchFile(_Strict):
    schema_: Annotated[Literal[1], Field(alias="schema")]
    hosts: Annotated[list[_Host], Field(min_length=1)]


def load_bench(path: Path) -> tuple[Phone, ...]:
    """The phones of a bench file.

    Raises InputError that lists every mistake with its place in the document: no YAML,
    unknown keys, unknown SoCs, a phone or a host named twice.
    """
    doing = f"reading the bench file {path}"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as err:
        raise InputError(doing, str(err), hint="--bench FILE, or --bench adb") from err
    try:
        bench = _BenchFile.model_validate(document)
    except ValidationError as err:
        raise InputError(
            doing, _listing(err), expected="the form that docs/bench.md shows"
        ) from err
    phones = [_phone(host, entry) for host in bench.hosts for entry in host.phones]
    for names, what in (
        ([host.name for host in bench.hosts], "host"),
        ([f"{phone.host}:{phone.port} {phone.serial}" for phone in phones], "phone"),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(doing, f"{what} {twice[0]!r} is named twice")
    return tuple(phones)


def _phone(host: _Host, entry: _PhoneEntry) -> Phone:
    address, _, port = host.adb.rpartition(":")
    labels = frozenset([*entry.labels, host.name])
    return Phone(entry.serial, address, int(port), entry.soc, labels)


def _listing(err: ValidationError) -> str:
    lines = []
    for problem in err.errors(include_url=False):
        place = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]
        )
        given = problem.get("input")
        shown = f" (it is {given!r})" if isinstance(given, str | int | float) else ""
        lines.append(f"\n  ${place}: {problem['msg']}{shown}")
    return f"{len(lines)} problem{'s' if len(lines) != 1 else ''}{''.join(lines)}"
