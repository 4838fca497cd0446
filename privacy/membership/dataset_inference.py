"""Dataset inference: was this whole collection trained on? (Maini et al., arXiv 2406.06443)

Scores of many features are joined by weights learned on one half of the suspect and validation items, and the other halves are
compared by a permutation test: exact whatever the scores' law, where the paper's t-test is approximate. Valid only if, without
training, suspect and validation items are draws from one distribution: a validation set written after the model shows its own
date, not membership.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.planning import check_nulls
from privacy.statistics.scores import Floats, as_scores

MIN_ITEMS = 8
MAX_PERMUTATIONS = 1_000_000
_RIDGE = 1e-2


@dataclass(frozen=True)
class DatasetInference:
    """Exact p that suspect items score as validation items do; the difference of mean joined scores on the unseen halves."""

    p_value: float
    difference: float
    suspect: int
    validation: int
    permutations: int
    weights: tuple[float, ...]


def infer_dataset(
    suspect: npt.ArrayLike, validation: npt.ArrayLike, permutations: int = 999, seed: int = 0, alpha: float = 0.05
) -> DatasetInference:
    """Items x features in both. Raises ScoreError, and PlanError for fewer than MIN_ITEMS items or too few permutations."""
    a, b = as_scores(suspect, "scores of suspect items", 2), as_scores(validation, "scores of validation items", 2)
    if a.shape[1] != b.shape[1]:
        raise ScoreError("suspect and validation items have different features")
    if min(len(a), len(b)) < MIN_ITEMS:
        raise PlanError(f"at least {MIN_ITEMS} suspect and {MIN_ITEMS} validation items are needed")
    if permutations > MAX_PERMUTATIONS:
        raise PlanError(f"at most {MAX_PERMUTATIONS} permutations are taken")
    check_nulls(permutations, 1, alpha)
    rng = np.random.default_rng(seed)
    (a_fit, a_test), (b_fit, b_test) = (np.array_split(x[rng.permutation(len(x))], 2) for x in (a, b))
    centre, scale, weights = _fit(a_fit, b_fit)
    joined = ((np.concatenate([a_test, b_test]) - centre) / scale) @ weights
    observed = _difference(joined, len(a_test))
    extreme = sum(_difference(rng.permutation(joined), len(a_test)) >= observed - 1e-12 for _ in range(permutations))
    p = (1 + extreme) / (permutations + 1)
    return DatasetInference(p, observed, len(a), len(b), permutations, tuple(map(float, weights)))


def _fit(inside: Floats, outside: Floats) -> tuple[Floats, Floats, Floats]:
    """Ridge regression of membership on standardised features."""
    both = np.concatenate([inside, outside])
    centre, scale = both.mean(axis=0), both.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (both - centre) / scale
    y = np.concatenate([np.full(len(inside), 0.5), np.full(len(outside), -0.5)])
    gram = x.T @ x / len(x) + _RIDGE * np.eye(x.shape[1])
    return centre, scale, np.asarray(np.linalg.solve(gram, x.T @ (y - y.mean()) / len(x)), dtype=np.float64)


def _difference(joined: Floats, first: int) -> float:
    return float(joined[:first].mean() - joined[first:].mean())
