"""Token ids to text with the bundle's own tokenizer, without transformers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BundleCorrupt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Stands for an id beyond the tokenizer's vocabulary (logits may be padded past it).
UNKNOWN_TOKEN_TEXT = "\ufffd"


def detokenize(tokenizer_path: Path, token_ids: Iterable[int]) -> str:
    """The text of generated token ids, special tokens left out, stripped of outer blanks.

    Args:
        tokenizer_path: a `tokenizer.json`.
        token_ids: the reply's ids; one beyond the vocabulary becomes U+FFFD.

    Raises: BundleCorrupt if the file is no tokenizer.
    """
    tokenizer = _load_tokenizer(tokenizer_path)
    pieces = []
    for known, group in groupby(token_ids, lambda token_id: _is_known(tokenizer, token_id)):
        ids: Sequence[int] = list(group)
        pieces.append(tokenizer.decode(ids) if known else UNKNOWN_TOKEN_TEXT * len(ids))
    return "".join(pieces).strip()


@lru_cache(maxsize=8)
def _load_tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as err:  # the package raises bare Exception
        raise BundleCorrupt(
            f"reading the tokenizer {path}",
            str(err),
            expected="a tokenizer.json of the tokenizers package",
            hint="copy or compile the bundle again",
        ) from err


def _is_known(tokenizer: Tokenizer, token_id: int) -> bool:
    return token_id >= 0 and tokenizer.id_to_token(token_id) is not None
