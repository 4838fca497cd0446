"""Small synthetic worlds for the tests: a scheme, its rule, a Zipf model, and texts of both kinds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.truth import rule_of
from watermark.attacks.stealing.zipf import GreenRule, ZipfModel
from watermark.families import open_scheme

VOCABULARY = 1000


@dataclass(frozen=True)
class World:
    scheme: Any
    rule: GreenRule
    model: ZipfModel
    marked: tuple[Tokens, ...]
    natural: tuple[Tokens, ...]


def unigram(num_keys: int = 1, vocab_size: int = VOCABULARY) -> Any:
    return open_scheme("unigram", {"vocab_size": vocab_size, "fraction": 0.25, "watermark_key": 11, "num_keys": num_keys})


def green_list(seeding: str, vocab_size: int = VOCABULARY) -> Any:
    config = {"vocab_size": vocab_size, "gamma": 0.25, "delta": 2.0, "seeding_scheme": seeding, "hash_key": 15485863}
    return open_scheme("kgw-lm-extended", config)


@lru_cache(maxsize=8)
def world(kind: str, texts: int = 600, length: int = 100, vocab_size: int = VOCABULARY, delta: float = 2.0) -> World:
    """`kind`: unigram, unigram-3, or a seeding scheme of lm-watermarking."""
    named = {"unigram": lambda: unigram(1, vocab_size), "unigram-3": lambda: unigram(3, vocab_size)}
    scheme = named[kind]() if kind in named else green_list(kind, vocab_size)
    rule, model = rule_of(scheme), ZipfModel(vocab_size=vocab_size, local=0 if kind in named else 20)
    rng = np.random.default_rng(5)
    marked = model.marked(texts, length, rng, rule, delta)
    return World(scheme, rule, model, tuple(marked), tuple(model.natural(texts, length, rng)))
