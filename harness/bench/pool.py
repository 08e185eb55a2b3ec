"""Which phone gets the next run: one that is free and fit, the healthiest first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import filelock

from harness import socs
from harness.bench.ledger import Ledger, Trouble, phone_key
from harness.bench.phones import Phone, Wish
from harness.bench.recovery import is_hopeless, recover
from harness.cache import cache_root, make_cache_dir
from harness.device import (
    LEASE_S,
    Device,
    Fitness,
    Lease,
    connect_server,
    open_device,
    read_fitness,
    take_lease,
)
from harness.errors import DeviceBusy, DeviceError, DeviceMismatch, DeviceNotFound, NoFitPhone

POLL_S = 0.05
# A lease on the phone is asked for again after this; a look at it costs a round trip.
BUSY_PAUSE_S = 1.0
UNFIT_PAUSE_S = 20.0  # heat and charge change slowly


@dataclass(frozen=True)
class PoolOptions:
    """How a pool behaves."""

    wait_s: float = 600.0  # for a phone that is free and fit
    lease_s: int = LEASE_S
    allow_reboot: bool = False
    who: str | None = None


@dataclass(frozen=True)
class LeasedPhone:
    """A phone that is ours for a while. `check` raises LeaseLost if it no longer was."""

    phone: Phone
    device: Device
    fitness: Fitness | None  # at the lease's start; None: nobody wanted to know
    check: Callable[[], None]


class Pool:
    """The phones of a session, shared by its workers and by other sessions.

    A lock file per phone keeps the processes of this computer apart without a word to the
    phone; the lease on the phone keeps everybody apart.
    """

    def __init__(
        self, phones: Sequence[Phone], ledger: Ledger, options: PoolOptions | None = None
    ) -> None:
        self.phones = tuple(phones)
        self.ledger = ledger
        self.options = options or PoolOptions()
        self._opened: dict[Phone, Device] = {}
        self._not_before: dict[Phone, tuple[float, str]] = {}

    def look(self, wish: Wish) -> Device:
        """A phone that would do, without leasing it: to know what to compile for.

        Raises the error of the last phone that was tried, NoFitPhone if there is none.
        """
        error: DeviceError = self._none_left(wish)
        for phone in self._candidates(wish, ()):
            try:
                return self._open(phone, wish)
            except DeviceError as err:
                error = err
        raise error

    def any_left(self, wish: Wish) -> bool:
        """Whether a phone is left that may do."""
        return bool(self._candidates(wish, ()))

    def count_fit(self, wish: Wish) -> int:
        """How many phones would be given work now, if nobody else used them."""
        return sum(self._is_fit(phone, wish) for phone in self._candidates(wish, ()))

    def _is_fit(self, phone: Phone, wish: Wish) -> bool:
        try:
            device = self._open(phone, wish)
            return not wish.limits.any or not wish.limits.why_unfit(read_fitness(device))
        except DeviceError:
            return False

    @contextmanager
    def lease(self, wish: Wish, avoid: Collection[Phone] = ()) -> Iterator[LeasedPhone]:
        """A phone that will do, leased; waits for one. Those to `avoid` are taken last.

        Raises NoFitPhone when none is left that may ever do; the error of the only phone
        there is; DeviceBusy when all that would do were in use for `wait_s`.
        """
        end = time.monotonic() + self.options.wait_s
        while True:
            candidates = self._candidates(wish, avoid)
            if not candidates:
                raise self._none_left(wish)
            for phone in candidates:
                with self._try(phone, wish) as leased:
                    if leased is not None:
                        yield leased
                        return
            if time.monotonic() > end:
                raise self._all_busy(wish)
            time.sleep(POLL_S * random.uniform(0.5, 1.5))

    def note_trouble(self, phone: Phone, error: DeviceError, *, hopeless: bool = False) -> None:
        """Write down that something failed for the phone's sake. Only while its lock is ours."""
        self._opened.pop(phone, None)
        trouble = Trouble(type(error).__name__, error.problem)
        record = self.ledger.read(phone)
        hopeless = hopeless or is_hopeless(error)
        self.ledger.write(phone, record.after_trouble(trouble, hopeless=hopeless))

    def note_run(self, phone: Phone) -> None:
        """Write down a run that came to its end. Only while it is leased."""
        self.ledger.write(phone, self.ledger.read(phone).after_run())

    def _candidates(self, wish: Wish, avoid: Collection[Phone]) -> list[Phone]:
        """Phones that may do, in the order to try them."""
        found = []
        for phone in self.phones:
            record = self.ledger.read(phone)
            if wish.allows(phone) and record.quarantine is None:
                order = (phone in avoid, record.needs_recovery, -record.health, random.random())
                found.append((order, phone))
        return [phone for _, phone in sorted(found, key=lambda pair: pair[0])]

    @contextmanager
    def _try(self, phone: Phone, wish: Wish) -> Iterator[LeasedPhone | None]:
        """The phone, leased; None if it is in use or unfit now. Trouble is written down."""
        if time.monotonic() < self._not_before.get(phone, (0.0, ""))[0]:
            yield None
            return
        folder = make_cache_dir(cache_root() / "leases")
        lock = filelock.FileLock(folder / f"{phone_key(phone)}.lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            yield None
            return
        try:
            prepared = self._prepare(phone, wish)
            if prepared is None:
                yield None
                return
            lease, leased = prepared
            with lease:
                yield leased
        finally:
            lock.release()

    def _prepare(self, phone: Phone, wish: Wish) -> tuple[Lease, LeasedPhone] | None:
        """Open, recover where needed, lease and look at the phone, whose lock is ours."""
        try:
            device = self._revive(phone, wish)
        except DeviceError as err:
            self._opened.pop(phone, None)
            self.note_trouble(phone, err, hopeless=True)
            self._raise_if_only(phone, wish, err)
            return None
        try:
            lease = take_lease(device, ttl_s=self.options.lease_s, who=self.options.who)
        except DeviceBusy as err:
            self._pause(phone, min(BUSY_PAUSE_S, max(err.left_s, POLL_S)), err.problem)
            return None
        except DeviceError as err:
            self.note_trouble(phone, err)
            self._raise_if_only(phone, wish, err)
            return None
        try:
            fitness = read_fitness(lease.device) if wish.limits.any else None
        except DeviceError as err:
            lease.release()
            self.note_trouble(phone, err)
            return None
        reason = None if fitness is None else wish.limits.why_unfit(fitness)
        if reason is not None:
            lease.release()
            self._pause(phone, UNFIT_PAUSE_S, reason)
            return None
        return lease, LeasedPhone(phone, lease.device, fitness, lease.check)

    def _raise_if_only(self, phone: Phone, wish: Wish, error: DeviceError) -> None:
        """The last phone's own error says more than that none is left."""
        others = [other for other in self.phones if wish.allows(other) and other != phone]
        if not others and self.ledger.read(phone).quarantine is not None:
            raise error

    def _revive(self, phone: Phone, wish: Wish) -> Device:
        """The phone, brought back first if its last run failed or it does not answer."""
        record = self.ledger.read(phone)
        error: DeviceError | None = None
        if not record.needs_recovery:
            try:
                return self._open(phone, wish)
            except DeviceError as err:
                unknown = isinstance(err, DeviceNotFound) and not record.runs
                if unknown or isinstance(err, DeviceMismatch) or is_hopeless(err):
                    raise
                error = err
        try:
            steps = recover(phone, allow_reboot=self.options.allow_reboot)
            device = self._open(phone, wish)
        except DeviceError as err:
            if error is None:
                raise
            error.problem += f"; {err.problem}"
            raise error from err
        self.ledger.write(phone, self.ledger.read(phone).after_recovery(steps))
        return device

    def _open(self, phone: Phone, wish: Wish) -> Device:
        """The phone as it is. One that speaks TCP and is not listed is connected first."""
        device = self._opened.get(phone)
        soc = wish.soc or phone.soc
        if device is None:
            server = connect_server(phone.host, phone.port)
            listed = {entry.serial for entry in server.list_devices()}
            if phone.serial not in listed and phone.is_tcp:
                server.connect_tcp(phone.serial)
            device = self._opened[phone] = open_device(server, phone.serial, soc)
        if soc is not None and device.facts.soc_model not in socs.find_soc(soc).soc_models:
            return open_device(device.server, phone.serial, soc)  # which tells it well
        return device

    def _pause(self, phone: Phone, seconds: float, reason: str) -> None:
        self._not_before[phone] = (time.monotonic() + seconds, reason)

    def _none_left(self, wish: Wish) -> NoFitPhone:
        reasons = []
        for phone in self.phones:
            quarantine = self.ledger.read(phone).quarantine
            if not wish.allows(phone):
                quarantine = f"is {phone.soc or 'of unknown SoC'}, not what is asked for"
            reasons.append(f"\n    {phone}: {quarantine}")
        return NoFitPhone(
            f"choosing a phone ({wish})",
            f"none of {len(self.phones)} is left:{''.join(reasons)}",
            hint="python -m harness devices, and python -m harness doctor",
        )

    def _all_busy(self, wish: Wish) -> DeviceBusy:
        reasons = [
            f"\n    {phone}: {self._not_before.get(phone, (0, 'in use on this computer'))[1]}"
            for phone in self._candidates(wish, ())
        ]
        return DeviceBusy(
            f"waiting for a phone ({wish})",
            f"none was free and fit for {self.options.wait_s:g} s:{''.join(reasons)}",
            hint="--lease-timeout waits longer",
        )
