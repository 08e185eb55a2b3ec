"""Runs one row: a phone of its own, one run under the fault, a look at what is left, one more.

Nothing of the harness is replaced: faults are made by the phone's daemon, on a TCP stream, or
by a signal to a process. Only waiting times are shorter than in the product.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bench.attempts import Attempts
from harness.bench.evidence import Evidence
from harness.bench.ledger import Ledger
from harness.bench.phones import Phone, Wish
from harness.bench.pool import LeasedPhone, Pool, PoolOptions
from harness.bundle import load_bundle
from harness.device import Deadline, PrivateServer, start_private_server
from harness.device.device import open_device
from harness.device.lease import new_token, run_lease, take_lease
from harness.errors import DeviceBusy, HarnessError
from harness.runs import CaseRun, RunRequest, make_plan, run_case
from harness.runtime import load_runtime
from harness.virtual_phone import VirtualPhone

from ..front.sessions import PhoneDisk
from ..front.workplace import RED, Workplace
from .others import SERVER_ANSWERS, fake_server, free_port, signal_server, start_phone
from .rows import PASSES, Row

TIMEOUT_S = 6.0
LEASE_S = 4
SETTLE_S = 12.0
ANSWER = "the shape is red"


@dataclass(frozen=True)
class Seen:
    """What came of a row."""

    row: Row
    outcome: str  # PASSES, "WRONG REPLY", or the error's class
    kind: str  # of the error: "infra" never blames a model
    attempts: int
    seconds: float
    message: str
    left: tuple[str, ...]  # on either side, once everything had come to rest
    next_run: str  # PASSES, or what went wrong


class Site:
    """What the rows share: a server, models, a folder."""

    def __init__(self, folder: Path, server: PrivateServer) -> None:
        self.folder = folder
        self.server = server
        self.cache_dir = Path(os.environ["VLM_HARNESS_CACHE"])

    def workplace(self, name: str, row: Row | None) -> Workplace:
        """A model whose runner does what the row wants; None: answers rightly."""
        reply = {**RED, "sleep_s": 0.8, **dict(row.reply if row is not None else ())}
        return Workplace(self.folder / f"{name}-{'fault' if row else 'fine'}").furnish(
            "simulator", reply
        )


@dataclass
class Trial:
    """One row on its way."""

    site: Site
    row: Row
    name: str
    server: PrivateServer
    phone: VirtualPhone
    stack: ExitStack

    @property
    def disk(self) -> PhoneDisk:
        root = self.site.cache_dir / "phones" / f"SM8750-{self.name}" / "root"
        return PhoneDisk(root / "data/local/tmp/vlm-device-harness")

    def attempts(self, phone: Phone, wait_s: float = 30.0) -> Attempts:
        folder = self.site.folder / f"session-{self.name}-{time.monotonic_ns()}"
        pool = Pool([phone], Ledger(folder / "phones"), PoolOptions(wait_s, LEASE_S))
        return Attempts(pool, 2, Evidence(folder / "evidence", limit_s=2.0))

    def address(self) -> Phone:
        server = self.server.server
        return Phone(self.phone.serial, server.host, server.port)

    def run(self, work: Workplace, phone: Phone, wish: Wish, wait_s: float = 30.0) -> CaseRun:
        """One case on a phone, as a session does it."""
        runtime = load_runtime(work.runtime_dir)
        bundle = load_bundle(work.bundles_dir / "toy/SM8750/hybrid")
        request = RunRequest(bundle, "red", "hybrid", 8, TIMEOUT_S)

        def action(leased: LeasedPhone) -> CaseRun:
            return run_case(leased.device, runtime, request)

        plan = make_plan(runtime, request)
        return self.attempts(phone, wait_s).run(wish, self.name, action, plan)


def run_row(site: Site, number: int, row: Row) -> Seen:
    """One row from the phone's start to its next good run; never raises."""
    try:
        return _run_row(site, f"row{number}", row)
    except Exception as err:
        return Seen(row, f"the row broke: {type(err).__name__}", "", 0, 0.0, str(err), (), "")


def _run_row(site: Site, name: str, row: Row) -> Seen:
    with ExitStack() as stack:
        server = site.server
        if row.special in ("kill_server", "stop_server"):
            server = stack.enter_context(start_private_server(site.folder / f"home-{name}"))
        phone = stack.enter_context(start_phone(name, server, row.faults))
        trial = Trial(site, row, name, server, phone, stack)
        started = time.monotonic()
        outcome, error = _under_the_fault(trial)
        seconds = time.monotonic() - started
        attempts = attempts_of(site.folder, name)
        if server is not site.server:
            server.stop()
            trial.server = site.server
        trial.phone = _healed(trial)
        left = _left(trial)
        next_run = _next(trial)
    return Seen(
        row,
        outcome,
        "" if error is None else error.kind,
        attempts,
        seconds,
        "" if error is None else " ".join(error.problem.split())[:100],
        left,
        next_run,
    )


def attempts_of(folder: Path, name: str) -> int:
    """How many troubles and runs the ledgers of a row's sessions know."""
    count = 0
    for session in folder.glob(f"session-{name}-*"):
        for record in Ledger(session / "phones").all().values():
            count += record.runs + len(record.troubles)
    return count


def _under_the_fault(trial: Trial) -> tuple[str, HarnessError | None]:
    special = trial.row.special
    work = trial.site.workplace(trial.name, trial.row)
    with ExitStack() as during:
        try:
            if special == "two_sessions":
                return _two_sessions(trial, work), None
            if special in ("kill_process_in_run", "kill_process_in_push"):
                return _killed_process(trial, work), None
            _prepare_phone(trial, during)
            phone, wish = _asked_for(trial, during)
            wait_s = 2.0 if special == "live_holder" else 30.0
            return _judged(trial.run(work, phone, wish, wait_s)), None
        except HarnessError as err:
            return type(err).__name__, err


def _asked_for(trial: Trial, during: ExitStack) -> tuple[Phone, Wish]:
    """The phone that a session is told of."""
    phone, special = trial.address(), trial.row.special
    if special == "no_such_serial":
        phone = replace(phone, serial="R5CTNONE")
    elif special == "no_server":
        phone = replace(phone, port=free_port())
    elif special in SERVER_ANSWERS:
        phone = replace(phone, port=during.enter_context(fake_server(SERVER_ANSWERS[special])))
    return phone, Wish(soc="SM8650" if special == "another_soc" else "SM8750")


def _prepare_phone(trial: Trial, during: ExitStack) -> None:
    """What others do to the phone before the session, or to its server meanwhile."""
    match trial.row.special:
        case "live_holder":
            device = open_device(trial.server.server, trial.phone.serial)
            during.enter_context(take_lease(device, ttl_s=LEASE_S))
        case "dead_holder":
            device = open_device(trial.server.server, trial.phone.serial)
            words = ["take", new_token(), str(LEASE_S), "dead", "0"]
            assert run_lease(device, words, Deadline(9)).startswith("taken")
        case "half_made_lease":
            (trial.disk.data_dir / "lease/7").mkdir(parents=True)
        case "kill_server":
            _when_running(trial, during, lambda: signal_server(trial.server, signal.SIGKILL))
        case "stop_server":
            _when_running(trial, during, lambda: signal_server(trial.server, signal.SIGSTOP))


def _judged(run: CaseRun) -> str:
    return PASSES if run.reply == ANSWER else f"WRONG REPLY {run.reply!r}"


def _when_running(trial: Trial, during: ExitStack, act: Callable[[], None]) -> None:
    """Do something as soon as a runner is on the phone."""

    def watch() -> None:
        end = time.monotonic() + 20
        while not trial.disk.runners() and time.monotonic() < end:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    during.callback(thread.join)


def _two_sessions(trial: Trial, work: Workplace) -> str:
    """Two processes that share nothing but the phone: the lease alone keeps them apart."""
    first, second = (_spawn(trial, work, f"cache{number}") for number in (1, 2))
    most = 0
    while first.poll() is None or second.poll() is None:
        most = max(most, len(trial.disk.run_folders()))
        time.sleep(0.02)
    codes = (first.returncode, second.returncode)
    return PASSES if codes == (0, 0) and most == 1 else f"codes {codes}, {most} runs at once"


def _killed_process(trial: Trial, work: Workplace) -> str:
    """A session's process dies by SIGKILL; its lease expires and the next one passes."""
    process = _spawn(trial, work, "cache")
    in_push = trial.row.special == "kill_process_in_push"
    store = trial.disk.data_dir / "store"
    reached = (lambda: list(store.glob("*.part"))) if in_push else trial.disk.runners
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end and process.poll() is None, "the stage was never reached"
        time.sleep(0.02)
    process.kill()
    process.wait()
    return _judged(trial.run(work, trial.address(), Wish()))


def _spawn(trial: Trial, work: Workplace, cache: str) -> subprocess.Popen[bytes]:
    phone = trial.address()
    environ = {**os.environ, "VLM_HARNESS_CACHE": str(trial.site.folder / trial.name / cache)}
    command = [sys.executable, str(Path(__file__).with_name("one_run.py")), str(work.folder)]
    command += [phone.serial, phone.host, str(phone.port), str(LEASE_S)]
    return subprocess.Popen(command, env=environ, start_new_session=True)


def _healed(trial: Trial) -> VirtualPhone:
    """The same disk without the fault; the same phone where the fault is over by itself."""
    own_server = trial.row.special in ("kill_server", "stop_server")
    if not trial.row.faults and not own_server:
        return trial.phone
    trial.phone.stop()
    with suppress(Exception):
        trial.server.server.ask(f"host:disconnect:{trial.phone.serial}", Deadline(5.0))
    return trial.stack.enter_context(start_phone(trial.name, trial.server, ()))


def _left(trial: Trial) -> tuple[str, ...]:
    """What is still there when a lease has had time to expire: processes, locks, files."""
    end = time.monotonic() + SETTLE_S
    while True:
        disk = trial.disk
        left = [f"process {pid}" for pid in disk.runners()]
        left += [f"run folder {path.name}" for path in disk.run_folders()]
        left += _held_locks(trial)
        if not left or time.monotonic() > end:
            return tuple(left)
        time.sleep(0.1)


def _held_locks(trial: Trial) -> list[str]:
    """Lock files of this phone that this process still has open."""
    held = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(fd.readlink())
            if "/leases/" in target and trial.phone.serial in target:
                held.append(f"lock {target}")
    return held


def _next(trial: Trial) -> str:
    """The next run on that phone. What a dead holder left in the store goes with its lease."""
    try:
        outcome = _judged(
            trial.run(trial.site.workplace(trial.name, None), trial.address(), Wish(soc="SM8750"))
        )
    except HarnessError as err:
        return f"{type(err).__name__}: {err}"
    parts = list((trial.disk.data_dir / "store").glob("*.part"))
    if parts:
        return f"{len(parts)} half files are left"
    try:
        device = open_device(trial.server.server, trial.phone.serial)
        take_lease(device).release()
    except DeviceBusy as err:
        return f"the lease is still held: {err.problem}"
    return outcome
