"""A byte-level BPE tokenizer of a few hundred entries, trained in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TEXT = (
    "A watermark is a signal in the choice of words that a reader does not see and a detector that holds the key can test. "
    "The test must hold for every text: whoever wrote without the key is accused with the stated probability and no more.\n"
    "Tokens, keys, contexts, and seeds; lists of green words, counts, and tails of exact distributions -- nothing else.\n"
)


def train_tokenizer(path: Path, vocab_size: int = 400) -> Path:
    """Write a tokenizer.json and return its path. Skips the test where the package is missing."""
    tokenizers: Any = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=sorted(alphabet), special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.save(str(path))
    return path
