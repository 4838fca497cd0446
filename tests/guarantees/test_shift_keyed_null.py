"""The p-values of shift-keyed detection hold: P(p <= a) <= 1.1 a over at least 100,000 (text, key) pairs a scheme.

EXP: the detector's own p-value under real keys. The Monte-Carlo schemes: for one text, statistics of real keys against one
large set of null draws; given the text they are exchangeable, so every p-value is exact, and only their common set makes them
dependent.
Also here: the power that the project states for EXP-edit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.guarantees.bpe_text import VOCABULARY, awkward_texts, texts
from tests.unit.watermark.shift_texts import marked_text, substitute
from watermark.detection import DetectOptions
from watermark.detectors.alignment import exact_block_test
from watermark.families import open_scheme
from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.shift_keys import library_exp_key, library_its_key

LEVELS = (1e-2, 1e-3, 1e-4)
PAIRS = 100_000


def judge(p_values: Any, spread: float = 1.0) -> None:
    """One-sided test of P(p <= a) <= 1.1 a with three and a half standard errors, `spread` times a binomial's."""
    found = np.asarray(p_values)
    for level in LEVELS:
        allowed = 1.1 * level * len(found)
        hits = int((found <= level * (1 + 1e-9)).sum())
        assert hits <= allowed + 3.5 * spread * allowed**0.5, (level, hits / len(found))


def exact_pairs(tokens: np.ndarray, n: int, k: int, pairs: int, first_seed: int) -> list[float]:
    unique, back = np.unique(tokens, return_inverse=True)
    found = []
    for seed in range(first_seed, first_seed + pairs):
        costs = np.log(1 - library_exp_key(seed, n, VOCABULARY).columns(unique))[:, back]
        found.append(float(np.exp(exact_block_test(costs, tokens, k).log_p)))
    return found


def null_cases(length: int) -> list[np.ndarray]:
    return [*texts(2, length, seed=3), *awkward_texts(length).values()]


@pytest.mark.parametrize(("n", "k", "length"), [(8, 30, 30), (16, 10, 30)])
def test_slice_of_the_exact_test(n: int, k: int, length: int) -> None:
    pairs = [exact_pairs(tokens, n, k, 150, 1000 * i) for i, tokens in enumerate(null_cases(length))]
    found = np.concatenate(pairs)
    assert (found <= 0.05).mean() <= 0.05 + 3.5 * (0.05 / len(found)) ** 0.5


@pytest.mark.guarantee
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("n", "k", "length"), [(8, 30, 30), (16, 10, 30)])
def test_exact_exp(n: int, k: int, length: int) -> None:
    """Rows read once and rows that come round again, with real and with repetitive text."""
    cases = null_cases(length)
    each = -(-PAIRS // len(cases))
    judge(np.concatenate([exact_pairs(tokens, n, k, each, i * each) for i, tokens in enumerate(cases)]))


@pytest.mark.guarantee
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["EXP-edit", "ITS", "ITS-edit"])
def test_monte_carlo_schemes(name: str) -> None:
    n, k, found = 8, 12, []
    cases = [*texts(1, k, seed=4), np.tile(texts(1, 4, seed=5)[0], 3)]
    for index, tokens in enumerate(cases):
        base: Any = open_scheme("kuditipudi-library", {"scheme": name, "vocab_size": VOCABULARY, "n": n, "k": k, "key_seed": 1})
        unique, back = np.unique(tokens, return_inverse=True)
        rng, each = np.random.default_rng(index), PAIRS // len(cases)
        null = np.sort([base._statistic(base._null_costs(rng, len(unique))[:, back], k, 1) for _ in range(each)])
        for seed in range(each):
            key: Any = (library_exp_key if name.startswith("EXP") else library_its_key)(seed, n, VOCABULARY)
            observed = base._statistic(base.costs(tokens, key), k, 1)
            found.append((1 + np.searchsorted(null, observed, side="right")) / (each + 1))
    judge(found, spread=2.0)


@pytest.mark.guarantee
@pytest.mark.timeout(1800)
def test_power_of_exp_edit_after_forty_percent_substitutions() -> None:
    """Median p <= 0.01 from 35 tokens at 40 % random substitutions, about 3 nats a token (arXiv 2307.15593's headline)."""
    config = {"scheme": "EXP-edit", "vocab_size": 1000, "n": 256, "key_seed": 5}
    scheme = open_scheme("kuditipudi-library", config)
    assert isinstance(scheme, ShiftScheme)
    options = DetectOptions(runs=999, seed=1)
    found = [scheme.detect(substitute(marked_text(scheme, 35, i, sigma=3.3), 0.4, i), options).p_value for i in range(60)]
    assert float(np.median([p for p in found if p is not None])) <= 0.01
