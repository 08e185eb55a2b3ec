"""Whether a reply holds the words it should. Judges the reply alone, never the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.spec.model import Expectation
from harness.words import contains_phrase, words_of


@dataclass(frozen=True)
class Finding:
    """One expectation that a reply does not meet.

    `rule` is the key of `expect` it comes from, `words` the expected words that are
    missing or the forbidden word that is there.
    """

    rule: Literal["all_of", "any_of", "none_of", "empty"]
    words: tuple[str, ...]

    def __str__(self) -> str:
        listing = ", ".join(repr(word) for word in self.words)
        return {
            "all_of": f"it lacks {listing}",
            "any_of": f"it has none of {listing}",
            "none_of": f"it has {listing}, which it must not",
            "empty": "it holds no word",
        }[self.rule]


def judge_reply(reply: str, expect: Expectation) -> list[Finding]:
    """What is wrong with a reply; empty if nothing is.

    A reply without any word is wrong whatever is expected, and by itself the only finding.
    """
    if not words_of(reply):
        return [Finding("empty", ())]
    findings = []
    missing = tuple(word for word in expect.all_of if not contains_phrase(reply, word))
    if missing:
        findings.append(Finding("all_of", missing))
    if expect.any_of and not any(contains_phrase(reply, word) for word in expect.any_of):
        findings.append(Finding("any_of", expect.any_of))
    forbidden = tuple(word for word in expect.none_of if contains_phrase(reply, word))
    if forbidden:
        findings.append(Finding("none_of", forbidden))
    return findings
