"""What a test tells the journal and JUnit, and the record that is made of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import __version__
from harness.front.options import Options
from harness.front.outcomes import notes_of
from harness.front.session import Session, Subject
from harness.journal import (
    Context,
    Record,
    RecordOutcome,
    SampleRecord,
    VerdictRecord,
    append_record,
    git_commit,
)
from harness.perf.measure import Sample
from harness.verdict import Verdict

FACTS = "facts"
_OF_CLASS: Mapping[str, RecordOutcome] = {
    "accuracy": "fail",
    "perf": "fail",
    "size": "fail",
    "inconclusive": "inconclusive",
    "infra": "infra",
    "compile": "compile",
    "spec": "spec",
}


@dataclass(frozen=True)
class Facts:
    """What a test knows of itself when it has judged."""

    context: Context
    verdicts: Sequence[Verdict]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    samples: Sequence[Sample] = ()

    def as_plain(self) -> dict[str, Any]:
        """Of JSON's types alone: it may travel to another process."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return document

    def properties(self) -> dict[str, object]:
        """JUnit's: one per metric, and what a chart is drawn by."""
        context = self.context
        words = sorted({verdict.outcome for verdict in self.verdicts})
        clean = [sample for sample in self.samples if not sample.throttled]
        return {
            **{name: getattr(context, name) for name in ("model", "soc", "mode", "simulated")},
            "device.serial": context.serial,
            "verdict": ", ".join(words),
            **({"n_samples": len(clean)} if self.samples else {}),
            **{name: value for name, value in self.metrics.items() if value is not None},
        }


def context_of(
    session: Session, subject: Subject, *, case: str | None = None, serial: str | None = None
) -> Context:
    """What is run and where, as far as bundle and device say it."""
    manifest = session.bundle(subject).manifest
    facts = None if session.options.compile_only else session.device(subject).facts
    ptes = {part.file: manifest.files[part.file].sha256 for part in manifest.components.values()}
    return Context(
        model=manifest.model,
        mode=subject.mode,
        case=case,
        backend=manifest.backend,
        soc=session.soc(subject).id,
        serial=serial or (facts.serial if facts else None),
        simulated=facts.simulated if facts else None,
        android_build=facts.build_fingerprint if facts else None,
        checkpoint=asdict(manifest.checkpoint),
        recipe={name: part.recipe for name, part in manifest.components.items()},
        max_seq_len=manifest.max_seq_len,
        target=manifest.target,
        versions=manifest.versions,
        files_sha256=ptes,
    )


def context_asked(subject: Subject, options: Options, case: str | None) -> Context:
    """What a test was about, for one that ended before bundle and device could say it."""
    return Context(
        model=subject.spec.model,
        mode=subject.mode,
        case=case,
        backend=options.backend or subject.spec.backend,
        soc=subject.place.soc or options.soc,
        serial=subject.place.serial,
    )


class JournalWriter:
    """Appends a record for each finished test of the product, in the process that prints."""

    def __init__(self, path: Path, root_dir: Path) -> None:
        self._path = path
        self._root_dir = root_dir
        self._run_id = uuid.uuid4().hex[:12]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hook: one phase of a test has ended; the one that decides its outcome is recorded."""
        notes = notes_of(report)
        if "of_product" in notes and (report.when == "call" or report.outcome != "passed"):
            append_record(self._path, self._record(report, notes))

    def _record(self, report: pytest.TestReport, notes: Mapping[str, Any]) -> Record:
        facts: Mapping[str, Any] = notes.get(FACTS) or {}
        failure_class: str | None = notes.get("failure_class")
        return Record(
            schema_version=1,
            run_id=self._run_id,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=git_commit(self._root_dir),
            harness_version=__version__,
            test=report.nodeid,
            outcome=_outcome(report, failure_class),
            failure_class=failure_class,
            message=_message(report),
            duration_s=round(report.duration, 3),
            context=Context(**facts.get("context", {})),
            metrics=facts.get("metrics", {}),
            samples=[SampleRecord(**_sample(each)) for each in facts.get("samples", [])],
            verdicts=[VerdictRecord(**each) for each in facts.get("verdicts", [])],
        )


def _sample(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document.get(name) for name in ("metrics", "throttled", "readings", "side")}


def _outcome(report: pytest.TestReport, failure_class: str | None) -> RecordOutcome:
    if failure_class is not None:
        return _OF_CLASS.get(failure_class, "error")
    if report.passed:
        return "pass"
    return "skip" if report.skipped else "error"


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    told = report.longrepr
    return str(told[2]) if isinstance(told, tuple) else str(told)
