"""Cut-offs (k-, k+) that were not known beforehand, searched without breaking the one-run bound.

Taking the best of many pairs at level alpha each is no bound at all. Three ways that are: a fixed grid of G pairs at alpha/G;
the pair chosen on one half of the canaries and used on the other; that split repeated, and the median of bounds at alpha/2.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from privacy.dp_bounds.canaries import Canaries
from privacy.dp_bounds.one_run import (
    CutOffs,
    OneRun,
    bound_one_run,
    bound_ordered,
    check_delta,
    count_correct,
    epsilon_lower,
    order_coins,
)
from privacy.errors import PlanError
from privacy.statistics.binomial import check_level

MIN_CANARIES = 8
MAX_REPEATS = 999
_SHARES = (64, 32, 16, 8, 4, 2)


@dataclass(frozen=True)
class Search:
    """A bound whose cut-offs were searched: what it rests on, and how many alternatives were paid for."""

    epsilon: float
    alpha: float
    method: str
    best: OneRun
    searched: int


def default_grid(m: int) -> tuple[CutOffs, ...]:
    """m/64, m/32 .. m/2 guesses of either kind, or of both: at most 18 pairs, a function of m alone."""
    sizes = sorted({m // share for share in _SHARES if m // share >= 1})
    pairs = {pair for k in sizes for pair in ((0, k), (k, 0), (k, k))}
    return tuple(CutOffs(*pair) for pair in sorted(pairs))


def bound_by_grid(
    canaries: Canaries, alpha: float = 0.05, delta: float = 0.0, grid: tuple[CutOffs, ...] | None = None, seed: int = 0
) -> Search:
    """The best bound over G pairs fixed beforehand, each at level alpha/G (Bonferroni). Raises PlanError."""
    pairs = default_grid(canaries.m) if grid is None else grid
    if not pairs:
        raise PlanError(f"{canaries.m} canaries are too few for a grid of cut-offs")
    ordered = order_coins(canaries, seed)
    found = [bound_ordered(ordered, pair, check_level(alpha, "alpha") / len(pairs), delta) for pair in pairs]
    best = max(found, key=lambda one: one.epsilon)
    return Search(best.epsilon, alpha, "grid", best, len(pairs))


def bound_by_split(canaries: Canaries, alpha: float = 0.05, delta: float = 0.0, seed: int = 0) -> Search:
    """Cut-offs chosen on a random half of the canaries, the bound taken on the other half. Raises PlanError.

    Given the coins of the first half, the second half is an audit of its own: its coins are fair, and its cut-offs fixed.
    """
    if canaries.m < MIN_CANARIES:
        raise PlanError(f"{canaries.m} canaries cannot be split; at least {MIN_CANARIES} are needed")
    check_delta(delta)
    mixed = canaries.shuffle(seed)
    first, second = (mixed.take(half) for half in np.array_split(np.arange(canaries.m), 2))
    ordered = order_coins(first, seed)

    def promise(pair: CutOffs) -> float:
        return epsilon_lower(first.m, pair.k_minus + pair.k_plus, count_correct(ordered, pair), alpha, delta)

    grid = default_grid(first.m)
    # Where no pair promises anything, the widest two-sided one.
    chosen = max(grid, key=lambda pair: (promise(pair), pair.k_minus + pair.k_plus))
    scaled = CutOffs(chosen.k_minus * second.m // first.m, chosen.k_plus * second.m // first.m)
    best = bound_one_run(second, scaled, alpha, delta, seed)
    return Search(best.epsilon, alpha, "split", best, len(grid))


def bound_by_splits(canaries: Canaries, alpha: float = 0.05, delta: float = 0.0, repeats: int = 21, seed: int = 0) -> Search:
    """The median over repeated splits of bounds at level alpha/2.

    It exceeds epsilon only if half of them do, which has probability at most 2 alpha/2 (Markov; arXiv 0811.2177). Depends
    little on the seed, unlike a single split. Raises PlanError.
    """
    if not 1 <= repeats <= MAX_REPEATS or repeats % 2 == 0:
        raise PlanError(f"the number of splits is odd and at most {MAX_REPEATS}, not {repeats}")
    seeds = np.random.default_rng(seed).integers(0, 1 << 62, repeats)
    found = [bound_by_split(canaries, check_level(alpha, "alpha") / 2, delta, int(s)) for s in seeds]
    middle = sorted(found, key=lambda one: one.epsilon)[repeats // 2]
    return dataclasses.replace(middle, alpha=alpha, method="splits", searched=middle.searched * repeats)
