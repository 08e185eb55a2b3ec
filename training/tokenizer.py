"""What the tokenizers of the families share: a byte-level BPE of the task's sentences.

Every byte has a token, so any text can be tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, pre_tokenizers, trainers

from training.questions import every_sentence

VOCAB_SIZE = 512


def train_bpe(
    bpe: Tokenizer, vocab_size: int, first_specials: Sequence[str], frame: Sequence[str]
) -> None:
    """Train `bpe` on every sentence of the task, at a line's start and behind a space.

    Args:
        first_specials: special tokens that take the first ids.
        frame: words of the chat template, counted once per sentence.
    """
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(first_specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    sentences = every_sentence()
    corpus = [*list(frame) * len(sentences), *sentences, *(f" {text}" for text in sentences)]
    bpe.train_from_iterator(corpus, trainer)
