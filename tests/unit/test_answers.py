from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.answers import judge_reply
from harness.spec import Expectation
from harness.words import contains_phrase, words_of

MATCHES = [
    ("A cat sits here.", "cat", True),
    ("CAT!", "cat", True),
    ("the cat's bowl", "cat", True),
    ("a black-cat poster", "cat", True),
    ("snake_cat_case", "cat", True),
    ("concatenate", "cat", False),
    ("cats", "cat", False),
    ("There are two  Cats, asleep", "two cats", True),
    ("two big cats", "two cats", False),
    ("cats two", "two cats", False),
    ("3 circles", "3", True),
    ("13 circles", "3", False),
    ("Die STRASSE ist leer", "Straße", True),
    ("\ufb01ve circles", "five", True),
    ("\uff22\uff4c\uff55\uff45", "blue", True),
    ("cafe\u0301", "café", True),
    ("İstanbul", "i\u0307stanbul", True),
    ("हिन्दी भाषा", "हिन्दी", True),
    ("हिन्दी", "ह", False),
    ("", "cat", False),
    ("anything", "...", False),
]


@pytest.mark.parametrize(("text", "phrase", "expected"), MATCHES)
def test_contains_phrase(text: str, phrase: str, expected: bool) -> None:
    assert contains_phrase(text, phrase) is expected


@given(before=st.text(), phrase=st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,2}", fullmatch=True))
def test_contains_phrase_between_blanks_is_found_whatever_is_around(
    before: str, phrase: str
) -> None:
    assert contains_phrase(f"{before} {phrase.upper()}, and so on", phrase)


@given(st.text())
def test_words_of_is_stable(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


def _findings(reply: str, **expect: tuple[str, ...]) -> list[str]:
    return [str(finding) for finding in judge_reply(reply, Expectation(**expect))]


def test_judge_reply_right_finds_nothing() -> None:
    assert _findings("A red circle.", all_of=("red", "circle"), none_of=("blue",)) == []


def test_judge_reply_lists_every_missing_word() -> None:
    assert _findings("A star.", all_of=("red", "star", "left")) == ["it lacks 'red', 'left'"]


def test_judge_reply_any_of_is_met_by_one() -> None:
    assert _findings("A kitten.", any_of=("cat", "kitten")) == []


def test_judge_reply_any_of_met_by_none_lists_all() -> None:
    assert _findings("A dog.", any_of=("cat", "kitten")) == ["it has none of 'cat', 'kitten'"]


def test_judge_reply_forbidden_word_beside_the_right_one_is_found() -> None:
    findings = _findings("red and blue", all_of=("red",), none_of=("blue", "green"))
    assert findings == ["it has 'blue', which it must not"]


@pytest.mark.parametrize("reply", ["", "   \n", "...!"])
def test_judge_reply_without_a_word_is_wrong(reply: str) -> None:
    assert _findings(reply, all_of=("red",)) == ["it holds no word"]
