"""Exact p-values by ranks: one target among its own nulls, and a subject's facts each among their candidates.

Exact where, without memorisation, target and nulls are exchangeable: by construction if the auditor drew the target with the
generator of the nulls. Whether a verdict may rest on it is decided by `privacy.statistics.validity`, not here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.scores import as_scores, join_templates

MAX_CONVOLUTION_STEPS = 20_000_000


def rank_p_value(observed: float, nulls: npt.ArrayLike) -> float:
    """p = (1 + #{null >= observed}) / (N + 1). Ties count against the accusation; never below 1/(N + 1). Raises ScoreError."""
    others = as_scores(nulls, "null scores")
    value = float(as_scores([observed], "the observed score")[0])
    return (1 + int((others >= value).sum())) / (others.size + 1)


def item_p_value(target: npt.ArrayLike, nulls: npt.ArrayLike, standardise: bool = True) -> float:
    """The same over K templates with one statistic, their maximum: exact without a correction for K. Shapes K and K x N."""
    observed, others = join_templates(target, nulls, standardise)
    return rank_p_value(observed, others)


def rank_among(truth: npt.ArrayLike, alternatives: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Rank 1 .. M of each of Q true values among its M - 1 alternatives (Q x (M - 1)): 1 + #{alternative >= truth}."""
    own, others = as_scores(truth, "scores of true values"), as_scores(alternatives, "scores of alternatives", 2)
    if others.shape[0] != own.size:
        raise ScoreError(f"{own.size} true values, but alternatives for {others.shape[0]}")
    return np.asarray(1 + (others >= own[:, None]).sum(axis=1), dtype=np.int64)


def rank_sum_p_value(ranks: Sequence[int], candidates: int | Sequence[int]) -> float:
    """P(R' <= R) for the sum R of Q ranks, each uniform on 1..M_i under the null, to the last bit (whole-number convolution).

    `candidates` is M, or one M_i a fact. Assumes the facts to be independent, which a report must say. Raises PlanError when
    the convolution would take more than MAX_CONVOLUTION_STEPS steps, ScoreError for ranks out of range.
    """
    sizes = [candidates] * len(ranks) if isinstance(candidates, int) else list(candidates)
    if not ranks or len(sizes) != len(ranks):
        raise ScoreError("a subject needs at least one fact, and a number of candidates for each")
    if any(m < 2 or not 1 <= r <= m for r, m in zip(ranks, sizes)):
        raise ScoreError("a rank lies outside 1..M, or a fact has no alternative")
    null = rank_sum_cdf(tuple(sorted(int(m) for m in sizes)))
    return null[int(sum(ranks)) - len(sizes)]


@functools.lru_cache(maxsize=256)
def rank_sum_cdf(sizes: tuple[int, ...]) -> tuple[float, ...]:
    """P(R' <= Q + s), s = 0.., for the sum of independent uniform ranks on 1..M_i."""
    if len(sizes) * sum(sizes) > MAX_CONVOLUTION_STEPS:
        raise PlanError(f"{len(sizes)} facts with {sum(sizes)} candidates in all are too many for an exact rank sum")
    counts, total = [1], 1
    for m in sizes:
        sums = [*accumulate(counts), *[sum(counts)] * (m - 1)]
        counts = [high - low for high, low in zip(sums, [0] * m + sums)]
        total *= m
    return tuple(float(Fraction(c, total)) for c in accumulate(counts))


def smallest_rank_sum_p(sizes: Sequence[int]) -> float:
    """The p-value of a subject all of whose facts rank first: 1 / prod M_i."""
    p = 1.0
    for m in sizes:
        p /= m
    return p
