"""Texts, keys and settings made to accuse an innocent text: crafted without the key, or by whoever runs the test."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest

from tests.unit.watermark.green_texts import Ints, zipf_text
from watermark.detection import Detection, DetectOptions
from watermark.families import as_tokens, open_scheme
from watermark.kernels.green_list import green_rows
from watermark.primitives.known_seeds import known_seeds
from watermark.primitives.prf import FACTORS, MODULUS, prf_seeds

VOCABULARY = 50257
# Token ids whose product, as 64 bits keep it, is (2^64 - 1) / 3, 2 (2^64 - 1) / 5 and 7 (2^64 - 1) / 85.
DIVISOR_CONTEXTS = {
    3: [42979, 42257, 32803, 2785, 9205, 4009],
    5: [38737, 16887, 12291, 14497, 16206],
    85: [18127, 24581, 45909, 45245, 46879],
}


def detect(family: str, config: dict[str, Any], tokens: Ints, **options: Any) -> Detection:
    size = config.get("vocab_size")
    return open_scheme(family, config).detect(as_tokens(tokens, size), DetectOptions(**options))


@pytest.mark.parametrize("divisor", [3, 5])
def test_products_that_share_the_modulus_forge_nothing(divisor: int) -> None:
    """A third party writes tokens that are green in nearly all of the few lists which the context can seed under any key."""
    context = DIVISOR_CONTEXTS[divisor]
    lists = np.array([i * (MODULUS // divisor) & 0xFFFFFFFF for i in range(divisor)], dtype=np.uint32)
    rows = np.unpackbits(green_rows(lists, VOCABULARY, VOCABULARY // 4), axis=1)[:, :VOCABULARY].astype(np.int64)
    greenest = np.argsort(-rows.sum(axis=0), kind="stable")[:300]
    text = np.concatenate([np.append(context, token) for token in greenest])
    for _ in range(3):
        name = f"ff-multiplicative_prf-{len(context)}-False-{secrets.randbits(62) | 1}"
        found = detect("kgw-lm-extended", {"vocab_size": VOCABULARY, "seeding_scheme": name}, text)
        assert found.p_value is not None and found.p_value > 1e-9


def test_contexts_with_few_lists_are_known_whatever_the_key() -> None:
    """The few seeds of a divisor's multiples are seen by trying keys; all of them are left out, others are not."""
    keys = [secrets.randbits(62) | 1 for _ in range(200)]
    for divisor, context in DIVISOR_CONTEXTS.items():
        rows = np.array([context])
        assert int(FACTORS["multiplicative_prf"](rows)[0]) % (MODULUS // divisor) == 0
        seeds = [prf_seeds("multiplicative_prf", rows, key) for key in keys]
        assert len({int(seed[0]) for seed in seeds}) <= divisor
        assert all(known_seeds("multiplicative_prf", rows, key, seed).all() for key, seed in zip(keys, seeds))
    ordinary = np.random.default_rng(0).integers(1, VOCABULARY, (2000, 5)) | 1
    assert not known_seeds("multiplicative_prf", ordinary, keys[0], prf_seeds("multiplicative_prf", ordinary, keys[0])).any()


REPETITIVE = {
    "one token": np.full(600, 7),
    "two tokens": np.tile([3, 4], 300),
    "a refrain": np.tile(zipf_text(40, 1), 15),
    "a table": np.stack([np.arange(200) % 90 + 100, np.full(200, 11), np.full(200, 12)], axis=1).reshape(-1),
}
SCHEMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lefthash": ("kgw-lm-basic", "hash_key", {}),
    "selfhash": ("kgw-lm-extended", "hash_key", {"seeding_scheme": "selfhash"}),
    "minhash": ("kgw-lm-extended", "hash_key", {"seeding_scheme": "minhash"}),
    "windows": ("kgw-lm-extended", "hash_key", {"seeding_scheme": "selfhash", "window_size": "max"}),
    "short windows": ("kgw-lm-extended", "hash_key", {"seeding_scheme": "lefthash", "window_size": "1,2,5,20"}),
    "transformers": ("kgw-transformers", "hashing_key", {}),
    "unigram": ("unigram", "watermark_key", {}),
    "unigram, 3 lists": ("unigram", "watermark_key", {"num_keys": 3}),
    "gumbel": ("vllm-gumbel", "key", {}),
    "gumbel, all contexts": ("vllm-gumbel", "key", {"deduplicate_contexts": False}),
    "two keys": ("vllm-gumbel", "key", {"scheme": "dual_key_gumbel"}),
    "exp": ("kuditipudi-library", "key_seed", {"scheme": "EXP", "n": 32}),
    "exp, rows again": ("kuditipudi-library", "key_seed", {"scheme": "EXP", "n": 4}),
}


def count_small(scheme: str, text: Ints, keys: int, level: float) -> int:
    """Of so many random keys, how many give p <= level."""
    family, member, more = SCHEMES[scheme]
    size = {} if family == "vllm-gumbel" else {"vocab_size": 500}
    rng = np.random.default_rng(len(scheme))
    found = 0
    for key in rng.integers(1 << 61, 1 << 62, keys).tolist():
        log_p = detect(family, {**size, **more, member: key | 1}, text).log_p
        found += log_p is not None and log_p <= np.log(level)
    return found


@pytest.mark.parametrize("kind", REPETITIVE)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_repetition_makes_no_evidence(scheme: str, kind: str) -> None:
    """Level 0.05 over 60 random keys: 13 or more happen with probability 1e-5 if the p-values are valid."""
    assert count_small(scheme, REPETITIVE[kind], 60, 0.05) <= 12
