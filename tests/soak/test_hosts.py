"""Four adb servers, phones behind each, one bench file, and two sessions at once: a small CI.

The default run has two phones per server; `tox -e lab` has eight.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cache import CACHE_VARIABLE
from harness.device import open_device, take_lease

from ..front.lab import Lab, open_lab
from ..front.sessions import Bench, SessionOutcome
from ..front.workplace import Workplace, case, reply

SERVERS = 4
PHONES_EACH = int(os.environ.get("VLM_LAB_PHONES", "2"))
PHONES = SERVERS * PHONES_EACH
RUNS_PER_PHONE = 2


@pytest.fixture(scope="module")
def lab(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache_dir))
        with open_lab(tmp_path_factory.mktemp("hosts"), (PHONES_EACH,) * SERVERS) as opened:
            yield opened


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Enough cases for each phone, in either of two sessions."""
    place = Workplace(tmp_path_factory.mktemp("work") / "hosts")
    cases = {f"case{n}": case(f"Which colour, {n}?") for n in range(PHONES * RUNS_PER_PHONE)}
    place.write_spec(cases=cases)
    place.write_bundle(target="simulator")
    place.write_runtime(reply("the shape is red", sleep_s=1.0))
    return place


@pytest.fixture(scope="module")
def both(bench: Bench, lab: Lab, work: Workplace) -> list[SessionOutcome]:
    """Two sessions at once, as of two hosts: nothing but the phones is common to them."""
    args = [*work.args, *lab.args, "-m", "accuracy", "-n", "4"]
    sessions = []
    for name in ("one", "other"):
        cache_dir = bench.cache_dir / f"host-{name}"
        cache_dir.mkdir()
        sessions.append(bench.start(args, environ={CACHE_VARIABLE: str(cache_dir)}))
    return [session.finish() for session in sessions]


def test_hosts_every_test_of_both_sessions_ends_in_its_verdict(
    both: list[SessionOutcome],
) -> None:
    for done in both:
        assert done.exit_status == 0, done.output
        assert len(done.tests) == PHONES * RUNS_PER_PHONE
        assert set(done.outcomes().values()) == {"passed"}


def test_hosts_phones_of_every_server_are_used(both: list[SessionOutcome], lab: Lab) -> None:
    used = {test.properties["device.serial"] for done in both for test in done.tests.values()}
    for number in range(SERVERS):
        mine = lab.phones[number * PHONES_EACH : (number + 1) * PHONES_EACH]
        assert used & {phone.serial for phone in mine}, f"host-{number}"


def test_hosts_no_phone_had_two_runs_at_once(both: list[SessionOutcome], lab: Lab) -> None:
    """In each phone's log a lease is given back before the next one's run begins."""
    runs = 0
    for phone in lab.phones:
        in_lease = False
        for line in phone.log_path.read_text(errors="replace").splitlines():
            if "--request request.json" in line:
                assert not in_lease, phone.serial
                in_lease, runs = True, runs + 1
            elif "vlm-device-harness release " in line:
                in_lease = False
    assert runs == 2 * PHONES * RUNS_PER_PHONE


def test_hosts_nothing_is_left_on_any_phone(
    both: list[SessionOutcome], lab: Lab, bench: Bench
) -> None:
    for number, (name, phone) in enumerate(zip(lab.names, lab.phones, strict=True)):
        server = lab.servers[number // PHONES_EACH].server
        take_lease(open_device(server, phone.serial)).release()
        disk = bench.disk(name)
        assert not disk.run_folders(), name
        assert not disk.runners(), name
        assert not list((disk.data_dir / "store").glob("*.part")), name
