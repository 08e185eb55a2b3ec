from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.answers import Reply, is_exactly, judge_reply
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


def _findings(reply: str | Reply, **expect: Any) -> list[str]:
    told = Reply(reply) if isinstance(reply, str) else reply
    return [str(finding) for finding in judge_reply(told, Expectation(**expect))]


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


def test_judge_reply_pattern_pins_the_place_of_a_word() -> None:
    pattern = r"(?i)^a red circle left of"
    assert _findings("A red circle left of a star.", matches_all=(pattern,)) == []
    wrong_place = "A star left of a red circle."
    assert _findings(wrong_place, all_of=("red circle", "left"), matches_all=(pattern,)) == [
        f"it does not match {pattern!r}"
    ]


def test_judge_reply_patterns_any_and_none() -> None:
    assert _findings("3 cats", matches_any=(r"\b3\b", "three"), matches_none=("dog",)) == []
    assert _findings("4 dogs", matches_any=("3|three",), matches_none=("dogs",)) == [
        "it matches none of '3|three'",
        "it matches 'dogs', which it must not",
    ]


def test_judge_reply_end_that_is_not_allowed_is_wrong() -> None:
    cut = Reply("A red", stop_reason="max_new_tokens")
    assert _findings(cut, all_of=("red",), stop_reasons=("stop_token",)) == [
        "it ended by max_new_tokens, not stop_token"
    ]
    assert _findings(cut, all_of=("red",)) == []


def test_judge_reply_lengths_are_inclusive() -> None:
    reply = Reply("one two three", (1, 2, 3, 0))
    assert _findings(reply, min_words=3, max_words=3, max_tokens=4) == []
    assert _findings(reply, min_words=4) == ["it has 3 words, fewer than 4"]
    assert _findings(reply, max_words=2) == ["it has 3 words, more than 2"]
    assert _findings(reply, max_tokens=3) == ["it has 4 tokens, more than 3"]


def test_judge_reply_right_word_in_a_loop_is_wrong() -> None:
    stuck = "A red circle a red circle a red circle"
    assert _findings(stuck, all_of=("red",)) == ["it repeats 'a red circle' 3 times in a row"]
    assert _findings(stuck, all_of=("red",), allow_repetition=True) == []


def test_judge_reply_loop_without_blanks_is_seen_in_the_tokens() -> None:
    assert _findings(Reply("\u732b" * 8, (7,) * 8)) == ["it repeats one token 8 times in a row"]


@pytest.mark.parametrize(
    ("reply", "right"), [("Red.", True), ("red", True), ("dark red", False), ("", False)]
)
def test_is_exactly_compares_the_words(reply: str, right: bool) -> None:
    assert is_exactly(reply, "red") is right
