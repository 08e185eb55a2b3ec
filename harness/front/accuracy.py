"""What a spec demands of the model as a whole: made by runs, judged by `accuracy_verdicts`."""

from __future__ import annotations

from harness.accuracy.agreement import compare_replies
from harness.accuracy.logits import compare_rows, perplexity, read_rows
from harness.accuracy_verdicts import (
    ReplyPair,
    judge_agreement,
    judge_logits,
    judge_perplexity,
    judge_questions,
)
from harness.errors import RunnerError
from harness.front.session import Session, Subject
from harness.references import (
    perplexity_name,
    read_float_perplexity,
    read_reference,
    reference_logits_name,
)
from harness.runs import CaseRun
from harness.spec.model import PERPLEXITY_CASE
from harness.verdict import Verdict

_NOT_RECORDED = Verdict(
    "skip",
    "accuracy",
    "ExecuTorch's own runner records neither tokens nor logits",
    "other_conditions",
)


def agreement_verdicts(session: Session, subject: Subject) -> list[Verdict]:
    """Each case's reply against the float model's: one verdict a case."""
    demand = subject.spec.accuracy.agreement
    bundle = session.bundle(subject)
    verdicts: list[Verdict] = []
    if demand is None:
        return verdicts
    for case in subject.spec.cases.values():
        run = session.run(subject, case)
        if not isinstance(run, CaseRun):
            return [_NOT_RECORDED]
        inputs = bundle.manifest.cases[case.name]
        reference = read_reference(bundle.path_of(str(inputs.reference_path))).turns[-1]
        replied = run.turn.generated_token_ids
        agreement = compare_replies(replied, reference.token_ids, reference.best)
        pair = ReplyPair(case.name, run.reply, str(inputs.reference_text), agreement)
        verdicts.append(judge_agreement(demand, pair))
    return verdicts


def logits_verdicts(session: Session, subject: Subject) -> list[Verdict]:
    """Each case's logits along the float model's reply: one verdict a case."""
    demand = subject.spec.accuracy.logits
    bundle = session.bundle(subject)
    verdicts: list[Verdict] = []
    if demand is None:
        return verdicts
    if session.options.runner is not None:
        return [_NOT_RECORDED]
    for name in subject.spec.cases:
        token_ids = bundle.manifest.cases[name].reference_token_ids or ()
        run = session.follow(subject, name, token_ids)
        path = bundle.path_of(reference_logits_name(name))
        wanted = read_rows(path.read_bytes(), len(token_ids), f"reading {path}")
        pairs = zip(wanted, _last_rows(run, len(token_ids)), strict=True)
        verdicts.append(judge_logits(demand, name, [compare_rows(ref, row) for ref, row in pairs]))
    return verdicts


def perplexity_verdicts(session: Session, subject: Subject) -> list[Verdict]:
    """The text of the perplexity demand under teacher forcing: one verdict."""
    demand = subject.spec.accuracy.perplexity
    if demand is None:
        return []
    if session.options.runner is not None:
        return [_NOT_RECORDED]
    bundle = session.bundle(subject)
    token_ids = bundle.manifest.cases[PERPLEXITY_CASE].reference_token_ids or ()
    run = session.follow(subject, PERPLEXITY_CASE, token_ids)
    measured = perplexity(_last_rows(run, len(token_ids)), token_ids)
    wanted = read_float_perplexity(bundle.path_of(perplexity_name()))
    return [judge_perplexity(demand, measured, wanted.perplexity)]


def questions_verdicts(session: Session, subject: Subject) -> list[Verdict]:
    """All questions of the spec's set: one verdict."""
    questions = subject.spec.accuracy.questions
    if questions is None:
        return []
    replies = {name: session.run(subject, case).reply for name, case in questions.cases.items()}
    return [judge_questions(questions, replies)]


def _last_rows(run: CaseRun, count: int) -> list[list[float]]:
    """The recorded logits of the last turn: `count` rows behind those of the turns before."""
    turns = run.report.measured[0].turns
    before = sum(len(turn.generated_token_ids) for turn in turns[:-1])
    doing = "reading the logits of a run"
    if run.logits is None:
        raise RunnerError(doing, "the runner recorded none, or not all of them arrived")
    rows = read_rows(run.logits, before + count, doing)
    return [list(row) for row in rows[before:]]
