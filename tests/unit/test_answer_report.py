"""What a reader sees of a wrong answer."""

from __future__ import annotations

import pytest

from harness.answer_report import describe_wrong_answer
from harness.answers import Reply
from harness.spec import Spec
from harness.verdict import judge_answer

REFERENCE = "The shape is a blue star."


def told(spec: Spec, reply: str, reference: str | None = REFERENCE) -> str:
    return describe_wrong_answer(judge_answer(spec.cases["blue"], Reply(reply)), reference)


def test_everything_that_is_needed_to_judge_it_by_eye(spec: Spec) -> None:
    case = spec.cases["blue"]
    lines = told(spec, "The shape is a red star.").splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        *["picture"] * len(case.images),
        "prompt",
        "expected",
        "got",
        "reference",
    ]
    text = "\n".join(lines)
    assert str(case.images[0]) in text
    assert repr(case.prompt) in text
    assert "all_of blue" in text
    assert "'The shape is a red star.'" in text


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("The shape is a red star.", "the reply parts after 'The shape is a'"),
        ("It is red.", "it parts at once"),
        ("", "it parts at once"),
        (REFERENCE, "the reply is the same"),
        ("The shape is", "the reply parts after 'The shape is'"),
    ],
)
def test_where_it_parts_from_the_float_models(spec: Spec, reply: str, said: str) -> None:
    assert told(spec, reply).endswith(f"{REFERENCE!r}, the float model's; {said}")


def test_without_a_reference_there_is_no_line_of_it(spec: Spec) -> None:
    assert told(spec, "It is red.", None).endswith("got:       'It is red.'")
