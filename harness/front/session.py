"""What the tests of one session share: devices, Runtimes, bundles, runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from harness.bench.attempts import Attempts
from harness.bench.evidence import Evidence
from harness.bench.ledger import Ledger
from harness.bench.pool import LeasedPhone
from harness.bundle import Bundle
from harness.device import Device, RunPlan
from harness.errors import DeviceError, HarnessError, InputError
from harness.foreign_runs import ForeignCaseRun, ForeignRunner, run_foreign_case
from harness.front.bundles import WantedBundle, mode_to_compile, provide_bundle
from harness.front.console import Console
from harness.front.options import Options, Place, wanted_places
from harness.front.phones import Phones
from harness.front.run_records import RecordedRun, RunRecords, run_key
from harness.front.session_folder import SessionFolder
from harness.roofline import dram_bounds
from harness.runs import CaseRun, RunRequest, make_plan, run_case
from harness.runtime import Runtime, check_runtime, find_runtime, load_runtime
from harness.socs import Soc, find_soc
from harness.spec import Case, Spec
from harness.verdict import Phone
from harness.vocabulary import Backend, Mode, Target

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Subject:
    """What one test is about: a model in a mode on a device."""

    spec: Spec
    mode: Mode
    place: Place

    def __str__(self) -> str:
        return f"{self.spec.model}-{self.mode}"


class Session:
    """Makes each dear thing once and remembers it, or the error it ended in."""

    def __init__(
        self,
        options: Options,
        console: Console,
        modes: frozenset[Mode],
        folder: SessionFolder,
    ) -> None:
        self.options = options
        self._console = console
        self._modes = modes
        self._phones = Phones(options, Ledger(folder.phones))
        self._records = RunRecords(folder.runs)
        self._evidence = Evidence(folder.evidence)
        self._made: dict[object, object] = {}
        self._given_up: dict[Place, HarnessError] = {}

    @property
    def given_up(self) -> str | None:
        """Why no further test can run: each device of the session is unusable. Else None."""
        if any(place not in self._given_up for place in wanted_places(self.options)):
            return None
        return "no usable device is left: the remaining tests were not run"

    def close(self) -> None:
        """End what was started for this session."""
        self._phones.close()

    def device(self, subject: Subject) -> Device:
        """The subject's device, or one like those that its runs will get.

        Raises DeviceError, also for one that was given up.
        """
        place = subject.place
        if place in self._given_up:
            raise self._given_up[place].with_traceback(None)
        with self._giving_up(subject, HarnessError):
            return self._once(("device", place), lambda: self._phones.look(place))

    def soc(self, subject: Subject) -> Soc:
        """The SoC of the subject's device; with `--compile-only` that of `--soc`."""
        if self.options.compile_only:
            return find_soc(str(self.options.soc))
        facts = self.device(subject).facts
        if facts.soc_id is not None:
            return find_soc(facts.soc_id)
        with self._giving_up(subject, InputError):
            raise InputError(
                f"finding out the SoC of {facts.serial}",
                f"its ro.soc.model {facts.soc_model!r} is not in specs/socs.yaml",
                hint="add a row for it to specs/socs.yaml",
            )

    def target(self, subject: Subject) -> Target:
        """What the device can load; with `--compile-only` what `--target` says.

        Raises:
            InputError: `--target` says otherwise than the device.
        """
        wanted = self.options.target
        if self.options.compile_only:
            return wanted or "silicon"
        facts = self.device(subject).facts
        fitting: Target = "simulator" if facts.simulated else "silicon"
        if wanted not in (None, fitting):
            raise InputError(
                f"choosing what to compile for {facts.serial}",
                f"--target {wanted} was asked for, which this device cannot load",
                expected=f"--target {fitting}",
                hint="leave --target out, or compile only: --compile-only",
            )
        return fitting

    def backend(self, subject: Subject) -> Backend:
        """What the subject's graphs run on: `--backend`, else the spec's own."""
        return self.options.backend or subject.spec.backend

    def bundle(self, subject: Subject) -> Bundle:
        """A bundle that serves the subject's mode: given, cached or compiled now."""
        mode = self._bundle_mode(subject)
        key = ("bundle", subject.spec.model, mode, subject.place)
        return self._once(key, lambda: self._find_bundle(subject, mode))

    def wanted_bundle(self, subject: Subject, mode: Mode | None = None) -> WantedBundle:
        """What a bundle must be to serve the subject; `mode` is the one it is made for."""
        soc, target, backend = self.soc(subject), self.target(subject), self.backend(subject)
        made_for = mode or subject.mode
        return WantedBundle(subject.spec, soc, made_for, subject.mode, target, backend)

    def runtime(self, subject: Subject) -> Runtime:
        """The Runtime for the subject's device: `--runtime`, cached or built now."""
        with self._giving_up(subject, HarnessError):
            key = ("runtime", subject.place, self.backend(subject))
            return self._once(key, lambda: self._find_runtime(subject))

    def run(self, subject: Subject, case: Case) -> CaseRun | ForeignCaseRun:
        """One run of one case; further checks of the same case get the same run."""
        return self._recorded(subject, case).run

    def serial(self, subject: Subject, case: Case) -> str:
        """The serial of the phone that the run of a case was made on."""
        return self._recorded(subject, case).serial

    def follow(self, subject: Subject, case_name: str, token_ids: tuple[int, ...]) -> CaseRun:
        """A run in which the model is fed these tokens as its last reply; its logits come back."""
        key = ("followed", subject.spec.model, subject.mode, subject.place, case_name)
        run = self.remember(subject, key, lambda: self._follow(subject, case_name, token_ids)).run
        assert isinstance(run, CaseRun), "no foreign runner was asked for"
        return run

    def _follow(self, subject: Subject, case_name: str, token_ids: tuple[int, ...]) -> RecordedRun:
        request = RunRequest(
            self.bundle(subject),
            case_name,
            subject.mode,
            max_new_tokens=len(token_ids),
            timeout_s=self.options.run_timeout_s,
            teacher_forced=token_ids,
            record_logits="full",
        )
        return self._run_once(subject, request)

    def _recorded(self, subject: Subject, case: Case) -> RecordedRun:
        key = ("run", subject.spec.model, subject.mode, subject.place, case.name)
        return self.remember(subject, key, lambda: self._run(subject, case))

    def remember(self, subject: Subject, key: object, make: Callable[[], _Made]) -> _Made:
        """What `make` gave the first time; its trouble with a device gives the device up."""
        with self._giving_up(subject, DeviceError):
            return self._once(key, make)

    def on_some_phone(
        self,
        subject: Subject,
        what: str,
        action: Callable[[LeasedPhone], _Made],
        plan: RunPlan,
    ) -> _Made:
        """What `action` gives on whichever phone is free, on another one if that gives trouble."""
        pool, wish = self._phones.pool(subject.place), self._phones.wish(subject.place)
        attempts = Attempts(pool, self.options.bench.retries, self._evidence)
        return attempts.run(wish, what, action, plan)

    def phone(self, subject: Subject) -> Phone:
        """The subject's device as verdicts know it."""
        facts, soc = self.device(subject).facts, self.soc(subject)
        bounds = dram_bounds(self.bundle(subject).manifest, soc, subject.mode)
        return Phone(soc.id, facts.serial, facts.simulated, bounds)

    def say(self, sentence: str) -> None:
        """Tell the user."""
        self._console.say(sentence)

    def _run(self, subject: Subject, case: Case) -> RecordedRun:
        self.device(subject)
        if self.options.pre_gen_pte is None:
            self.runtime(subject)  # before a compile that may take long
        bundle = self.bundle(subject)
        request = RunRequest(
            bundle, case.name, subject.mode, case.max_new_tokens, self.options.run_timeout_s
        )
        return self._run_once(subject, request, self._foreign_runner(case))

    def _run_once(
        self, subject: Subject, request: RunRequest, foreign: ForeignRunner | None = None
    ) -> RecordedRun:
        runtime = self.runtime(subject)
        where = repr(subject.place) if foreign is None else f"{subject.place!r} {foreign!r}"
        key = run_key(where, runtime, request)
        make = partial(self._run_on_some_phone, subject, runtime, request, foreign)
        return self._records.once(str(request), key, make)

    def _run_on_some_phone(
        self,
        subject: Subject,
        runtime: Runtime,
        request: RunRequest,
        foreign: ForeignRunner | None,
    ) -> RecordedRun:
        """One run on whichever phone is free, on another one if that gives trouble."""

        def run_on(leased: LeasedPhone) -> RecordedRun:
            serial = leased.device.serial
            with self._console.push_progress(serial) as on_push:
                if foreign is None:
                    return RecordedRun(serial, run_case(leased.device, runtime, request, on_push))
                run = run_foreign_case(leased.device, runtime, foreign, request, on_push)
                return RecordedRun(serial, run)

        return self.on_some_phone(subject, str(request), run_on, make_plan(runtime, request))

    def _foreign_runner(self, case: Case) -> ForeignRunner | None:
        """ExecuTorch's own runner, where `--runner` asks for it."""
        if self.options.runner is None:
            return None
        return ForeignRunner(self.options.runner, tuple(turn.prompt for turn in case.turns))

    def _bundle_mode(self, subject: Subject) -> Mode:
        """The mode of the bundle that serves the subject."""
        if self.options.pre_gen_pte is not None:
            return subject.mode
        return mode_to_compile(subject.mode, self._modes & set(subject.spec.modes))

    def _find_bundle(self, subject: Subject, mode: Mode) -> Bundle:
        wanted = self.wanted_bundle(subject, mode)
        return provide_bundle(wanted, self.options.pre_gen_pte, self._console)

    def _find_runtime(self, subject: Subject) -> Runtime:
        facts, soc, backend = self.device(subject).facts, self.soc(subject), self.backend(subject)
        runtime = (
            find_runtime(facts.abi, soc.htp_arch, facts.simulated, self._console.say, backend)
            if self.options.runtime is None
            else load_runtime(self.options.runtime)
        )
        check_runtime(runtime, facts.abi, soc.htp_arch)
        return runtime

    @contextmanager
    def _giving_up(self, subject: Subject, kind: type[HarnessError]) -> Iterator[None]:
        """Give the subject's device up on an error that every other test on it would meet."""
        try:
            yield
        except kind as err:
            if not self.options.compile_only and not self._may_try_on(subject, err):
                self._given_up.setdefault(subject.place, err)
            raise

    def _may_try_on(self, subject: Subject, err: HarnessError) -> bool:
        """Whether the next test may well succeed: a phone is left that has not failed for good."""
        if not isinstance(err, DeviceError) or ("device", subject.place) not in self._made:
            return False
        if isinstance(self._made["device", subject.place], HarnessError):
            return False
        return self._phones.pool(subject.place).any_left(self._phones.wish(subject.place))

    def _once(self, key: object, make: Callable[[], _Made]) -> _Made:
        """What `make` gave the first time, or the error it raised then."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except HarnessError as err:
                self._made[key] = err
        made = self._made[key]
        if isinstance(made, HarnessError):
            raise made.with_traceback(None)  # which each raising would make longer
        return made  # type: ignore[return-value]
