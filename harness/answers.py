"""Whether a reply is what a case expects. Judges the reply alone, never the prompt or its echo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.accuracy.repetition import find_loop
from harness.spec.model import Expectation
from harness.words import contains_phrase, words_of

_SHORTEST_ECHO = 3  # words; an answer may well begin with the one or two words of a prompt


@dataclass(frozen=True)
class Reply:
    """What the model answered: its text without special tokens, all its ids, how it ended."""

    text: str
    token_ids: tuple[int, ...] = ()
    stop_reason: str = "stop_token"


@dataclass(frozen=True)
class Finding:
    """One expectation that a reply does not meet: the key of `expect`, and a sentence on it."""

    rule: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def judge_reply(reply: Reply, expect: Expectation, prompt: str = "") -> list[Finding]:
    """What is wrong with a reply; empty if nothing is.

    A reply without any word is wrong whatever is expected, and by itself the only finding. If it
    begins with the prompt, only what follows counts.
    """
    if not words_of(reply.text):
        return [Finding("empty", "it holds no word")]
    own = replace(reply, text=_without_echo(reply.text, prompt))
    if not words_of(own.text):
        return [Finding("echo", "it is the prompt and holds no word besides")]
    rules = (_words, _patterns, _end, _length, _repetition)
    return [finding for rule in rules for finding in rule(own, expect)]


def _without_echo(text: str, prompt: str) -> str:
    asked = words_of(prompt)
    if len(asked) < _SHORTEST_ECHO or words_of(text)[: len(asked)] != asked:
        return text
    ends = (end for end in range(len(text)) if words_of(text[:end]) == asked)
    return text[next(ends, len(text)) :]


def is_exactly(reply: str, answer: str) -> bool:
    """Whether a reply has the words of the answer, in their order, and no others."""
    return words_of(reply) == words_of(answer)


def _words(reply: Reply, expect: Expectation) -> Iterator[Finding]:
    text = reply.text
    missing = [word for word in expect.all_of if not contains_phrase(text, word)]
    if missing:
        yield Finding("all_of", f"it lacks {_listing(missing)}")
    if expect.any_of and not any(contains_phrase(text, word) for word in expect.any_of):
        yield Finding("any_of", f"it has none of {_listing(expect.any_of)}")
    forbidden = [word for word in expect.none_of if contains_phrase(text, word)]
    if forbidden:
        yield Finding("none_of", f"it has {_listing(forbidden)}, which it must not")


def _patterns(reply: Reply, expect: Expectation) -> Iterator[Finding]:
    text = reply.text
    missed = [pattern for pattern in expect.matches_all if not re.search(pattern, text)]
    if missed:
        yield Finding("matches_all", f"it does not match {_listing(missed)}")
    if expect.matches_any and not any(re.search(p, text) for p in expect.matches_any):
        yield Finding("matches_any", f"it matches none of {_listing(expect.matches_any)}")
    forbidden = [pattern for pattern in expect.matches_none if re.search(pattern, text)]
    if forbidden:
        yield Finding("matches_none", f"it matches {_listing(forbidden)}, which it must not")


def _end(reply: Reply, expect: Expectation) -> Iterator[Finding]:
    allowed = expect.stop_reasons
    if allowed is not None and reply.stop_reason not in allowed:
        yield Finding(
            "stop_reasons", f"it ended by {reply.stop_reason}, not {' or '.join(allowed)}"
        )


def _length(reply: Reply, expect: Expectation) -> Iterator[Finding]:
    words, tokens = len(words_of(reply.text)), len(reply.token_ids)
    if expect.min_words is not None and words < expect.min_words:
        yield Finding("min_words", f"it has {words} words, fewer than {expect.min_words}")
    if expect.max_words is not None and words > expect.max_words:
        yield Finding("max_words", f"it has {words} words, more than {expect.max_words}")
    if expect.max_tokens is not None and tokens > expect.max_tokens:
        yield Finding("max_tokens", f"it has {tokens} tokens, more than {expect.max_tokens}")


def _repetition(reply: Reply, expect: Expectation) -> Iterator[Finding]:
    """Words, and token ids for scripts that put no blank between words."""
    if expect.allow_repetition:
        return
    words = words_of(reply.text)
    loop = find_loop(words)
    if loop is not None:
        phrase = " ".join(words[loop.start : loop.start + loop.period])
        yield Finding("repetition", f"it repeats {phrase!r} {loop.times} times in a row")
        return
    loop = find_loop(reply.token_ids)
    if loop is not None:
        what = "one token" if loop.period == 1 else f"{loop.period} tokens"
        yield Finding("repetition", f"it repeats {what} {loop.times} times in a row")


def _listing(texts: list[str] | tuple[str, ...]) -> str:
    return ", ".join(repr(text) for text in texts)
