"""Many tests at once: Holm within a subject (family-wise), Benjamini-Hochberg across subjects (false discoveries)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError
from privacy.statistics.binomial import check_level

Floats = npt.NDArray[np.float64]
# p-values are fractions with small denominators: one that equals the level must not miss it by the last bits of a product.
_LAST_BITS = 1 + 1e-12


def _p_values(values: npt.ArrayLike) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    # A p-value of 0 does not exist here: every exact p has a floor.
    if p.ndim != 1 or p.size == 0 or not ((p > 0) & (p <= 1)).all():
        raise ScoreError("p-values are one or more numbers above 0 and up to 1")
    return p


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjusted p-values (Holm 1979): rejecting those <= alpha errs at all with probability <= alpha, whatever the dependence."""
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, steps)
    return out


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """Adjusted p-values (Benjamini & Hochberg 1995): the expected share of false ones among those <= alpha is <= alpha.

    For independent p-values, or positively dependent ones (Benjamini & Yekutieli 2001).
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return out


def bonferroni(p_values: npt.ArrayLike) -> Floats:
    """min(1, T p)."""
    p = _p_values(p_values)
    return np.minimum(1.0, p * p.size)


@dataclass(frozen=True)
class Discoveries:
    """Which subjects, and which items of theirs, are found at level alpha."""

    subject_p: tuple[float, ...]
    """One p-value a subject: the smallest Holm-adjusted one of its items."""
    subject_q: tuple[float, ...]
    """The same, adjusted over subjects by Benjamini-Hochberg."""
    subjects: tuple[bool, ...]
    items: tuple[tuple[bool, ...], ...]


def discover(items: Sequence[npt.ArrayLike], alpha: float = 0.05) -> Discoveries:
    """Two levels: p-values of each subject's items in; subjects found with false-discovery rate alpha, and items in them.

    The items of a found subject are tested by Holm at alpha R / S (R of S subjects found), which keeps the expected average
    family-wise error over the found subjects at alpha (Benjamini & Bogomolov 2014, Theorem 1).
    """
    check_level(alpha, "alpha")
    if not items:
        raise ScoreError("no subject was given")
    adjusted = [holm(p) for p in items]
    subject_p = [float(p.min()) for p in adjusted]
    subject_q = benjamini_hochberg(subject_p)
    found = subject_q <= alpha * _LAST_BITS
    level = alpha * _LAST_BITS * int(found.sum()) / len(items)
    return Discoveries(
        tuple(subject_p),
        tuple(map(float, subject_q)),
        tuple(map(bool, found)),
        tuple(tuple(bool(f and p <= level) for p in row) for f, row in zip(found, adjusted)),
    )
