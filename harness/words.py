"""Text as words: what counts as one, and whether a phrase is in a text."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=1024)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: NFKC, case folded, split at all but letters, marks and digits.

    An apostrophe is no letter: "isn't" is the words "isn" and "t".
    """
    # Folding can undo the normal form, so it is restored afterwards.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return tuple("".join(char if _is_word_char(char) else " " for char in folded).split())


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `text` one after another, as whole words.

    "cat" is in "A cat." and not in "concatenate"; "two cats" is in "Two  CATS!".
    A phrase without a word is in no text.
    """
    wanted = words_of(phrase)
    words = words_of(text)
    if not wanted:
        return False
    starts = range(len(words) - len(wanted) + 1)
    return any(words[start : start + len(wanted)] == wanted for start in starts)


def _is_word_char(char: str) -> bool:
    # Marks belong to words: without them, Devanagari would fall apart at its vowels.
    return unicodedata.category(char)[0] in "LMN"
