"""Three tests of "the mark changes nothing", each valid at any sample size.

1. One token: for prompt i the model's next-token distribution p_i is known, and y_i was drawn under a fresh key. The randomised
   probability integral transform u_i = P(token ranked before y_i) + V p_i(y_i), V uniform, is uniform under H0.
2. One text a key: marked and plain text of one prompt are exchangeable under H0; labels are swapped at random within prompts.
3. Many texts, one key: r marked and r plain answers to one prompt are exchangeable under H0; marked ones that resemble one
   another more than plain ones do speak against it. A mark may pass the first two and fail here.

p = (1 + #{null >= observed}) / (runs + 1) throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEATURES = 256
_HASH = np.uint64(0x9E3779B97F4A7C15)


def integral_transform(probabilities: Floats, tokens: Ints, rng: np.random.Generator) -> Floats:
    """u (P,) of tokens (P,) under distributions (P, V), ranked from the likeliest down: a flatter distribution moves u up."""
    own = probabilities[np.arange(len(tokens)), tokens]
    likelier = np.where(probabilities > own[:, None], probabilities, 0.0).sum(axis=1)
    ties = (probabilities == own[:, None]) & (np.arange(probabilities.shape[1])[None, :] < tokens[:, None])
    before = likelier + (probabilities * ties).sum(axis=1)
    return np.asarray(np.clip(before + rng.random(len(tokens)) * own, 0.0, 1.0))


def token_statistic(u: Floats) -> Floats:
    """How far u (..., P) is from uniform: the sum of its first four squared Legendre coefficients (Neyman's smooth test)."""
    x = 2 * u - 1
    polynomials = (x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2, (35 * x**4 - 30 * x**2 + 3) / 8)
    return np.asarray(sum((2 * k + 3) * p.mean(axis=-1) ** 2 for k, p in enumerate(polynomials)) * u.shape[-1])


def token_test(u: Floats, runs: int, rng: np.random.Generator) -> float:
    """p-value of test 1."""
    observed = float(token_statistic(u))
    null = np.concatenate([token_statistic(rng.random((min(500, runs - i), len(u)))) for i in range(0, runs, 500)])
    return float((1 + (null >= observed).sum()) / (runs + 1))


def text_features(tokens: Sequence[int]) -> Floats:
    """Hashed frequencies of tokens and of pairs, the share of repeated 4-grams, and the length, as one vector."""
    ids = np.asarray(tokens, dtype=np.uint64)
    out = np.zeros(2 * FEATURES + 2)
    with np.errstate(over="ignore"):
        singles = ((ids + np.uint64(1)) * _HASH) >> np.uint64(56)
        pairs = ((ids[:-1] + np.uint64(1)) * _HASH ^ (ids[1:] + np.uint64(7)) * np.uint64(0xC2B2AE3D27D4EB4F)) >> np.uint64(56)
    np.add.at(out, singles.astype(np.int64), 1.0 / max(1, len(ids)))
    np.add.at(out, FEATURES + pairs.astype(np.int64), 1.0 / max(1, len(ids) - 1))
    out[-2], out[-1] = repeated_share(tokens), len(ids)
    return out


def repeated_share(tokens: Sequence[int], width: int = 4) -> float:
    """The share of n-grams that came before in the same text."""
    grams = [tuple(tokens[i : i + width]) for i in range(len(tokens) - width + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def token_entropy(tokens: Sequence[int]) -> float:
    """Entropy of the token frequencies of a text, in nats."""
    if not tokens:
        return 0.0
    shares = np.unique(np.asarray(tokens), return_counts=True)[1] / len(tokens)
    return float(-(shares * np.log(shares)).sum())


def swap_test(marked: Floats, plain: Floats, runs: int, rng: np.random.Generator) -> float:
    """p-value of test 2 on features (P, F): the squared length of the summed differences, under random swaps within pairs."""
    scale = np.concatenate([marked, plain]).std(axis=0)
    differences = (marked - plain) / np.where(scale > 0, scale, 1.0)
    # the two figures of the last columns weigh as much as each family of frequencies does
    differences[:, : 2 * FEATURES] /= np.sqrt(FEATURES)
    gram = differences @ differences.T
    signs = rng.integers(0, 2, size=(runs, len(gram))) * 2 - 1
    null = np.einsum("ri,ij,rj->r", signs, gram, signs, optimize=True)
    observed = float(gram.sum())
    return float((1 + (null >= observed * (1 - 1e-12)).sum()) / (runs + 1))


def similarity(first: Sequence[int], second: Sequence[int]) -> float:
    """The share of positions that agree: 1 for equal answers. Longer answers count in full."""
    longest = max(len(first), len(second), 1)
    return sum(a == b for a, b in zip(first, second)) / longest


def repeat_test(
    answers: Sequence[tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]], runs: int, rng: np.random.Generator
) -> float:
    """p-value of test 3 on (marked answers, plain answers) of every prompt, r of each."""
    tables = [np.array([[similarity(a, b) for b in (*m, *p)] for a in (*m, *p)]) for m, p in answers]
    sizes = [len(m) for m, _ in answers]
    observed = sum(_excess(table, np.arange(r)) for table, r in zip(tables, sizes))
    null = np.array([sum(_excess(t, rng.permutation(len(t))[:r]) for t, r in zip(tables, sizes)) for _ in range(runs)])
    return float((1 + (null >= observed - 1e-12).sum()) / (runs + 1))


def _excess(table: Floats, chosen: Ints) -> float:
    """Mean similarity within the chosen answers, less that within the others."""
    rest = np.setdiff1d(np.arange(len(table)), chosen)
    return _within(table, chosen) - _within(table, rest)


def _within(table: Floats, rows: Ints) -> float:
    part = table[np.ix_(rows, rows)]
    pairs = len(rows) * (len(rows) - 1)
    return float((part.sum() - np.trace(part)) / pairs) if pairs else 0.0
