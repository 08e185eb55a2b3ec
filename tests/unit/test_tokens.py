from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from harness.errors import BundleCorrupt
from harness.tokens import detokenize


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    vocabulary = {"<unk>": 0, "<end>": 1, "red": 2, "circle": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<end>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_detokenize_joins_words_and_leaves_special_tokens_out(tokenizer_path: Path) -> None:
    assert detokenize(tokenizer_path, [2, 3, 1]) == "red circle"


def test_detokenize_nothing_is_empty(tokenizer_path: Path) -> None:
    assert detokenize(tokenizer_path, []) == ""


def test_detokenize_id_beyond_the_vocabulary_shows_as_replacement(tokenizer_path: Path) -> None:
    assert detokenize(tokenizer_path, [2, 999]) == "red\ufffd"


def test_detokenize_broken_tokenizer_is_a_corrupt_bundle(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(BundleCorrupt, match="reading the tokenizer"):
        detokenize(path, [1])
