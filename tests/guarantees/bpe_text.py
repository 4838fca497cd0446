"""Real text for null measurements: CPython's documentation topics, byte-level BPE tokenised (vocabulary 4,000, trained here)."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest

VOCABULARY = 4000


@functools.cache
def corpus() -> npt.NDArray[np.int64]:
    """About 112,000 token ids in text order. Skips the test where the tokenizers library is not installed."""
    tokenizers = pytest.importorskip("tokenizers")
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.train_from_iterator([text], tokenizers.trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False))
    return np.array(model.encode(text).ids, dtype=np.int64)


def texts(count: int, length: int, seed: int = 0) -> list[npt.NDArray[np.int64]]:
    """`count` passages of `length` tokens, drawn from the corpus."""
    ids = corpus()
    starts = np.random.default_rng(seed).integers(0, ids.size - length, count)
    return [ids[start : start + length] for start in starts]


def awkward_texts(length: int) -> dict[str, npt.NDArray[np.int64]]:
    """What breaks tests that count repeats: one sentence again and again, two tokens in turn, one token, a refrain."""
    passage = texts(1, length, seed=99)[0]
    return {
        "one sentence repeated": np.resize(passage[:25], length),
        "two tokens in turn": np.resize(passage[:2], length),
        "one token": np.full(length, passage[0]),
        "a refrain between sentences": np.concatenate(
            [np.r_[passage[20 * i : 20 * i + 20], passage[-10:]] for i in range(length // 30)]
        ),
    }
