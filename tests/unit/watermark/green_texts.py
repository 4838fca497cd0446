"""Texts for the tests of green lists: Zipf tokens, and marked ones (of a few candidates drawn, the first green one)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from watermark.families import open_scheme
from watermark.schemes.green_list import GreenListScheme

VOCABULARY = 500
KEY = 0x2545F4914F6CDD1D
Ints = npt.NDArray[np.int64]


def green_scheme(family: str, **config: Any) -> GreenListScheme:
    """A scheme under KEY and VOCABULARY unless told otherwise."""
    key = "hashing_key" if family == "kgw-transformers" else "hash_key"
    named = str(config.get("seeding_scheme", "")).count("-") == 4
    return cast(GreenListScheme, open_scheme(family, {"vocab_size": VOCABULARY, **({} if named else {key: KEY}), **config}))


def zipf_text(length: int, seed: int, vocab: int = VOCABULARY) -> Ints:
    weights = 1.0 / np.arange(1, vocab + 1)
    return np.random.default_rng(seed).choice(vocab, length, p=weights / weights.sum())


def marked_text(scheme: GreenListScheme, length: int, seed: int, tries: int = 4) -> Ints:
    """`length` tokens, each the first green one of `tries` uniform candidates."""
    rng, config = np.random.default_rng(seed), scheme.config
    text = rng.integers(1, config.vocab_size, config.window - 1).tolist()
    while len(text) < length:
        drawn = rng.integers(1, config.vocab_size, tries)
        grams = np.array([[*text[len(text) - config.window + 1 :], int(token)] for token in drawn])
        seeds = config.seeds(grams if config.self_salt else grams[:, :-1], config.key)
        text.append(int(drawn[int(np.argmax(scheme.is_green(seeds, drawn)))]))
    return np.array(text, dtype=np.int64)
