"""Command-line options about the bench: which phones, how long to wait, what to try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.bench.phones import Limits, Phone
from harness.device import LEASE_S
from harness.errors import InputError

# The value of --bench that means every device of the adb server.
ADB = "adb"
LABGRID = "labgrid:"


@dataclass(frozen=True)
class BenchOptions:
    """What the command line asks of the bench."""

    phones: tuple[Phone, ...] | None  # of the bench file; None: there is none
    everything: bool  # --bench adb
    labels: frozenset[str]
    limits: Limits
    retries: int
    allow_reboot: bool
    wait_s: float
    lease_s: int
    resume: bool
    place: str | None  # of labgrid, which hands out the phone
    private_adb: bool

    @property
    def is_pool(self) -> bool:
        """Whether tests go to whichever phone is free, not to one that was named."""
        return self.phones is not None or self.everything


def add_bench_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("vlm-device-harness bench", "benches of several phones")
    group.addoption(
        "--bench", metavar="FILE", help="bench file; 'adb': every device of the adb server"
    )
    group.addoption("--label", action="append", default=[], help="only phones with this label")
    group.addoption("--min-battery", type=int, default=0, metavar="%", help="only phones above")
    group.addoption(
        "--max-battery-temperature", type=float, metavar="C", help="only phones below, degrees C"
    )
    group.addoption(
        "--min-free-mb", type=int, default=0, metavar="MB", help="only phones with so much room"
    )
    group.addoption(
        "--infra-retries",
        type=int,
        default=2,
        metavar="N",
        help="how often a run is repeated after trouble with a phone (2)",
    )
    group.addoption(
        "--allow-reboot", action="store_true", help="reboot a phone that nothing else brings back"
    )
    group.addoption(
        "--lease",
        metavar="labgrid:PLACE",
        help="let labgrid's coordinator hand out the phone that the tag `serial` of PLACE names",
    )
    group.addoption(
        "--private-adb",
        action="store_true",
        help="reach --serial HOST:PORT by an adb server of our own: own port, own key, own HOME; "
        "it ends with the session",
    )
    group.addoption(
        "--lease-timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="how long to wait for a phone that is free and fit (600)",
    )
    group.addoption(
        "--lease-seconds",
        type=int,
        default=LEASE_S,
        metavar="S",
        help=f"after this a dead session's phone is free again ({LEASE_S})",
    )
    group.addoption(
        "--resume", action="store_true", help="go on with the last session; repeat no finished run"
    )


def read_bench_options(config: pytest.Config) -> BenchOptions:
    """The options of a session. Raises InputError."""
    doing = "reading the command line"
    bench = config.getoption("--bench")
    numbers = {
        "--min-battery": (config.getoption("--min-battery"), 0, 100),
        "--min-free-mb": (config.getoption("--min-free-mb"), 0, 10**9),
        "--infra-retries": (config.getoption("--infra-retries"), 0, 100),
        "--lease-timeout": (config.getoption("--lease-timeout"), 0, 10**6),
        "--lease-seconds": (config.getoption("--lease-seconds"), 2, 86400),
    }
    for name, (value, least, most) in numbers.items():
        if not least <= value <= most:
            raise InputError(doing, f"{name} is {value:g}", expected=f"{least} to {most}")
    return BenchOptions(
        phones=None if bench in (None, ADB) else _load(Path(bench)),
        everything=bench == ADB,
        labels=frozenset(config.getoption("--label")),
        limits=Limits(
            min_free_bytes=config.getoption("--min-free-mb") * 1_000_000,
            min_battery_percent=config.getoption("--min-battery"),
            max_battery_c=config.getoption("--max-battery-temperature"),
        ),
        retries=config.getoption("--infra-retries"),
        allow_reboot=config.getoption("--allow-reboot"),
        wait_s=config.getoption("--lease-timeout"),
        lease_s=config.getoption("--lease-seconds"),
        resume=config.getoption("--resume"),
        place=_place(config),
        private_adb=_private_adb(config),
    )


def _load(path: Path) -> tuple[Phone, ...]:
    from harness.bench.bench_file import load_bench

    return load_bench(path)


def _private_adb(config: pytest.Config) -> bool:
    """Whether `--private-adb` is given, and with what it can work with."""
    if not config.getoption("--private-adb"):
        return False
    doing = "reading the command line"
    for option in ("--bench", "--lease", "--adb-host", "--adb-port"):
        if config.getoption(option):
            raise InputError(doing, f"--private-adb and {option} contradict each other")
    serials = config.getoption("--serial")
    if not serials or not all(Phone(serial).is_tcp for serial in serials):
        raise InputError(
            doing,
            f"--private-adb reaches no phone named {', '.join(serials) or 'by nothing'}",
            expected="--serial HOST:PORT: on a cable only one adb server can have a phone",
        )
    return True


def _place(config: pytest.Config) -> str | None:
    """The place that `--lease` names."""
    given: str | None = config.getoption("--lease")
    if given is None:
        return None
    doing = "reading the command line"
    name = given.removeprefix(LABGRID)
    if name == given or not name.strip():
        raise InputError(doing, f"--lease is {given!r}", expected=f"{LABGRID}PLACE")
    for option in ("--bench", "--serial", "--adb-host", "--adb-port"):
        if config.getoption(option):
            raise InputError(
                doing,
                f"--lease and {option} contradict each other",
                expected="one of them: the tags of the place name the phone",
            )
    return name
