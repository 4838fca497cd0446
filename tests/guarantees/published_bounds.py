"""Two published ways to take a lower bound on epsilon that are no bounds, ported to count how often they exceed 0 under the null.

- privacytrustlab/ml_privacy_meter: the one-run bound at p = 0.05 for every pair of cut-offs of a grid with step sqrt(m), and the
  argmax of these.
- tensorflow/privacy `EpsilonLowerBound`: bounds of a ratio of proportions at every threshold and in four directions, of which
  its example asks for the best ones. Each is at level alpha, the best one is not.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from privacy.statistics.binomial import binomial_pmf, clopper_pearson_lower, clopper_pearson_upper

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
_Z = -1.6448536269514722


@functools.lru_cache(maxsize=4096)
def _first_significant(guesses: int, alpha: float) -> int:
    """The smallest v with P(Bin(r, 1/2) >= v) < alpha."""
    tail = np.cumsum(binomial_pmf(guesses, math.log(0.5), math.log(0.5))[::-1])[::-1]
    return int(np.argmax(tail < alpha)) if (tail < alpha).any() else guesses + 1


def privacy_meter_is_positive(scores: Floats, included: Bools, alpha: float = 0.05) -> bool:
    """Whether the argmax over its grid of (k_neg, k_pos) is above 0."""
    ordered = included[np.argsort(scores, kind="stable")].astype(int)
    m = ordered.size
    outs, ins = np.concatenate([[0], np.cumsum(1 - ordered)]), np.concatenate([[0], np.cumsum(ordered)])
    step = int(math.sqrt(m))
    for k_pos in range(0, m, step):
        for k_neg in range(0, k_pos, step):
            guesses = k_neg + m - k_pos
            if outs[k_neg] + ins[m] - ins[k_pos] >= _first_significant(guesses, alpha):
                return True
    return False


def tf_privacy_is_positive(scores: Floats, included: Bools, method: str, alpha: float = 0.05) -> bool:
    """Whether the best of all thresholds and directions is above 0, by `clopper-pearson` or `bailey`."""
    order = np.argsort(scores)[::-1]
    tp, fp = np.cumsum(included[order], dtype=np.int64), np.cumsum(~included[order], dtype=np.int64)
    p, n = int(included.sum()), int((~included).sum())
    rows = [(tp, fp, p, n), (n - fp, p - tp, n, p), (fp, tp, n, p), (p - tp, n - fp, p, n)]
    above = _clopper_pearson_above if method == "clopper-pearson" else _bailey_above
    return any(above(*row, alpha) for row in rows)


@functools.lru_cache(maxsize=64)
def _intervals(n: int, alpha: float) -> tuple[Floats, Floats]:
    counts = range(n + 1)
    return (
        np.array([clopper_pearson_lower(k, n, alpha / 2) for k in counts]),
        np.array([clopper_pearson_upper(k, n, alpha / 2) for k in counts]),
    )


def _clopper_pearson_above(hits: npt.NDArray[np.int64], others: npt.NDArray[np.int64], p: int, n: int, alpha: float) -> bool:
    return bool((_intervals(p, alpha)[0][hits] > _intervals(n, alpha)[1][others]).any())


def _bailey_above(hits: npt.NDArray[np.int64], others: npt.NDArray[np.int64], p: int, n: int, alpha: float) -> bool:
    assert alpha == 0.05
    kept = hits > 0
    x = np.where(hits == p, p - 0.5, hits)[kept]
    y = np.where(others == n, n - 0.5, np.where(others == 0, 0.5, others))[kept]
    a, b = 1 - x / p, 1 - y / n
    with np.errstate(invalid="ignore"):
        upper = 1 + _Z / 3 * np.sqrt(a / x + b / y - _Z**2 * a * b / (9 * x * y))
        ratio = (x / p) / (y / n) * (upper / (1 - _Z**2 * b / (9 * y))) ** 3
    return bool((ratio > 1).any())
