"""The lease on the phone: one holder at a time, whoever asks, whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.device import Deadline, Device, take_lease
from harness.device.lease import Lease, new_token, run_lease
from harness.errors import CommandFailed, DeviceBusy, LeaseLost

Bench = Any  # of conftest.py
BenchStarter = Callable[..., Bench]


@pytest.fixture
def lease_dir(bench: Bench) -> Iterator[Path]:
    folder = bench.store_dir.parent / "lease"
    yield folder
    for file in folder.glob("*/holder"):
        file.unlink()
        (file.parent / "free").touch()


def take_and_die(device: Device, ttl_s: int) -> str:
    """Take a lease as a holder does that is killed at once; its token."""
    token = new_token()
    words = ["take", token, str(ttl_s), "a dead man", "0"]
    assert run_lease(device, words, Deadline(10)).startswith("taken")
    return token


def take_soon(device: Device, seconds: float) -> Lease:
    deadline = Deadline(seconds)
    while True:
        try:
            return take_lease(device, ttl_s=5)
        except DeviceBusy:
            deadline.check("waiting for the lease")


def test_lease_is_taken_held_and_given_back(device: Device, lease_dir: Path) -> None:
    with take_lease(device, ttl_s=5) as lease:
        assert lease.device.token == lease.token
        with pytest.raises(DeviceBusy, match="holds it") as caught:
            take_lease(device)
        assert 0 < caught.value.left_s <= 5
        assert "@" in caught.value.holder
        lease.check()
    take_lease(device).release()
    assert [sorted(p.name for p in n.iterdir()) for n in lease_dir.iterdir()] == [["free"]]


def test_lease_of_many_takers_at_once_goes_to_one(device: Device, lease_dir: Path) -> None:
    held: list[Lease] = []
    most = []
    guard = threading.Lock()

    def go() -> None:
        for _ in range(3):
            try:
                lease = take_lease(device)
            except DeviceBusy:
                continue
            with guard:
                held.append(lease)
                most.append(len(held))
            with guard:
                held.remove(lease)
            lease.release()

    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


def test_lease_of_a_dead_holder_is_taken_over_when_it_expires_not_before(
    device: Device, lease_dir: Path
) -> None:
    token = take_and_die(device, 2)
    with pytest.raises(DeviceBusy, match="a dead man holds it"):
        take_lease(device)
    with take_soon(device, 10) as lease:
        assert lease.dead_token == token


def test_lease_is_kept_alive_beyond_its_time(
    device: Device, lease_dir: Path, wait_until: Any
) -> None:
    with take_lease(device, ttl_s=2) as lease:
        first = (lease_dir / str(lease.number) / "holder").read_text()
        end = Deadline(3)
        wait_until(lambda: end.expired, "a time longer than the lease")
        with pytest.raises(DeviceBusy):
            take_lease(device)
        assert (lease_dir / str(lease.number) / "holder").read_text() != first


def test_lease_that_was_taken_over_is_lost_to_its_late_holder(
    device: Device, lease_dir: Path
) -> None:
    late = Lease(device, take_and_die(device, 1), 0, 1, "late")
    late.number = max(int(path.name) for path in lease_dir.iterdir())
    with take_soon(device, 10) as lease:
        late.renew()
        with pytest.raises(LeaseLost):
            late.check()
        late.release()
        with pytest.raises(DeviceBusy):
            take_lease(device)
        lease.check()


def test_lease_of_a_late_holder_that_nobody_wanted_goes_on(device: Device, lease_dir: Path) -> None:
    late = Lease(device, take_and_die(device, 0), 0, 1, "late")
    late.number = max(int(path.name) for path in lease_dir.iterdir())
    late.renew()
    late.check()


def test_lease_of_an_earlier_boot_is_held_for_one_more_term(
    device: Device, lease_dir: Path, bench: Bench
) -> None:
    take_and_die(device, 1_000_000)
    holder = max(lease_dir.glob("*/holder"))
    words = holder.read_text().split()
    holder.write_text(" ".join([words[0], "another-boot", "999999", "1000000", "x"]) + "\n")
    with pytest.raises(DeviceBusy):
        take_lease(device)
    holder.write_text(" ".join([words[0], "another-boot", "999999", "0", "x"]) + "\n")
    take_lease(device).release()


@pytest.mark.parametrize("content", [None, "", "garbage", "t boot later ttl x", "\0\0\0"])
def test_lease_whose_taker_died_on_the_way_expires(
    device: Device, lease_dir: Path, content: str | None
) -> None:
    take_lease(device).release()
    number = max(int(path.name) for path in lease_dir.iterdir()) + 1
    (lease_dir / str(number)).mkdir()
    if content is not None:
        (lease_dir / str(number) / "holder").write_text(content)
    with pytest.raises(DeviceBusy):
        take_lease(device, ttl_s=1)
    take_soon(device, 10).release()


def test_lease_taken_over_sweeps_what_the_dead_left(
    bench: Bench, lease_dir: Path, is_running: Callable[[int], bool]
) -> None:
    token = take_and_die(bench.device, 0)
    store, runs = bench.store_dir, bench.store_dir.parent / "runs"
    store.mkdir(exist_ok=True)
    orphan = runs / f"{token}-feed"
    orphan.mkdir(parents=True)
    foreign = runs / "other-1-feed"
    foreign.mkdir(exist_ok=True)
    script = (
        'setsid sh -c \'echo $$ >"$0/.group"; exec sleep 60\' "$1" </dev/null >/dev/null 2>&1 &'
    )
    bench.device.shell(["sh", "-c", script, "sh", str(orphan)], Deadline(10))
    while not (orphan / ".group").exists() or not (orphan / ".group").read_text():
        pass
    pid = int((orphan / ".group").read_text())
    part = store / f"{token}-beef.part"
    part.mkdir()
    with take_lease(bench.device) as lease:
        assert lease.dead_token == token
    assert not is_running(pid)
    assert not orphan.exists()
    assert not part.exists()
    assert foreign.exists()
    foreign.rmdir()


def test_lease_on_a_store_without_permission_says_why(start_bench: BenchStarter) -> None:
    own = start_bench()
    own.install("mkdir", "echo 'mkdir: Permission denied' >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="Permission denied"):
        take_lease(own.device)
