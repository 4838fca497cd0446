"""The blind baseline: can members be told from non-members without asking the model at all?

Where they can, they do not come from one distribution, and a membership score may see the difference of the texts (their dates,
topics, lengths) instead of the training: on published benchmarks such baselines beat every attack (Das, Zhang & Tramer, arXiv
2406.16201; Duan et al., arXiv 2402.07841). A linear classifier on hashed words and on the shape of a text; its p-value is exact,
by permuting the roles through the whole cross-validation.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError
from privacy.statistics.scores import Floats, as_scores

MIN_RECORDS = 10
MAX_EACH = 2000
PERMUTATIONS = 199
_FOLDS = 5
_DIVISIONS, _FEW = 5, 500
_BUCKETS = 1024
_RIDGE = 1.0
_WORD = re.compile(r"\w+")
_BLOCK = 250


@dataclass(frozen=True)
class Control:
    """One comparison of two groups that never asks the model under test: the share of pairs that it orders (AUC), and an exact
    two-sided p that the groups are draws from one distribution."""

    name: str
    auc: float
    p_value: float
    permutations: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "auc": self.auc, "p_value": self.p_value, "permutations": self.permutations}


def blind_features(texts: Sequence[str]) -> Floats:
    """Texts x features: length in bytes and words, compressibility, shares of kinds of characters; words and pairs, hashed."""
    shape, words = np.empty((len(texts), 8)), np.zeros((len(texts), _BUCKETS))
    for row, text in enumerate(texts):
        found = [word.casefold() for word in _WORD.findall(text)]
        shape[row] = _shape_of(text, found)
        for term in (*found, *(f"{a} {b}" for a, b in pairwise(found))):
            code = zlib.crc32(term.encode("utf-8", "surrogatepass"))
            words[row, code % _BUCKETS] += 1 if code & (1 << 31) else -1
    words = np.sign(words) * np.log1p(np.abs(words))
    norms = np.linalg.norm(words, axis=1, keepdims=True)
    words /= np.where(norms > 0, norms, 1.0)
    spread = shape.std(axis=0)
    return np.concatenate([(shape - shape.mean(axis=0)) / np.where(spread > 0, spread, 1.0), words], axis=1)


def _shape_of(text: str, words: list[str]) -> list[float]:
    raw = text.encode("utf-8", "surrogatepass")
    size = max(1, len(text))
    return [
        math.log1p(len(raw)),
        math.log1p(len(words)),
        len(zlib.compress(raw)) / max(1, len(raw)),
        sum(map(str.isdigit, text)) / size,
        sum(map(str.isupper, text)) / size,
        sum(map(str.isspace, text)) / size,
        sum(not c.isalnum() and not c.isspace() for c in text) / size,
        sum(map(len, words)) / max(1, len(words)),
    ]


def out_of_fold_scores(features: npt.ArrayLike, labels: npt.ArrayLike, seed: int = 0) -> Floats:
    """Scores of each row by a ridge classifier that was fitted without its fold; `labels` rows, or rows x labelings.

    The mean over several divisions into folds, since with few rows one division decides much by chance. Linear in the labels for
    given features and folds, so that many labelings cost little more than one.
    """
    x, y = as_scores(features, "blind features", 2), np.asarray(labels, dtype=np.float64)
    columns = y.reshape(len(x), -1)
    rng, out = np.random.default_rng(seed), np.zeros_like(columns)
    divisions = _DIVISIONS if len(x) <= _FEW else 1
    for fold in (part for _ in range(divisions) for part in np.array_split(rng.permutation(len(x)), _FOLDS)):
        kept = np.setdiff1d(np.arange(len(x)), fold)
        centre, level = x[kept].mean(axis=0), columns[kept].mean(axis=0)
        inside = x[kept] - centre
        out[fold] += (x[fold] - centre) @ _ridge(inside, columns[kept] - level)
    return np.asarray(out.reshape(y.shape))


def _ridge(inside: Floats, targets: Floats) -> Floats:
    """Weights of ridge regression, by whichever of the two Gram matrices is smaller."""
    rows, width = inside.shape
    if rows < width:
        return np.asarray(inside.T @ np.linalg.solve(inside @ inside.T + _RIDGE * np.eye(rows), targets))
    return np.asarray(np.linalg.solve(inside.T @ inside + _RIDGE * np.eye(width), inside.T @ targets))


def blind_control(
    first: Sequence[str], second: Sequence[str], name: str = "blind", seed: int = 0, permutations: int = PERMUTATIONS
) -> Control:
    """The classifier on two groups of texts, at most MAX_EACH drawn from each. Raises PlanError below MIN_RECORDS in all."""
    if not first or not second or len(first) + len(second) < MIN_RECORDS:
        raise PlanError(f"the blind baseline needs at least {MIN_RECORDS} records, some in either group")
    rng = np.random.default_rng(seed)
    groups = [[g[i] for i in rng.permutation(len(g))[:MAX_EACH]] for g in (first, second)]
    features = blind_features([*groups[0], *groups[1]])
    return _control(name, features, len(groups[0]), rng, seed, permutations)


def score_control(first: npt.ArrayLike, second: npt.ArrayLike, name: str, seed: int = 0, permutations: int = 999) -> Control:
    """The same for one given score, such as the loss of a reference model that saw neither group. Raises ScoreError."""
    a, b = as_scores(first, "scores of the first group"), as_scores(second, "scores of the second group")
    rng = np.random.default_rng(seed)
    ranks = mid_ranks(np.concatenate([a, b]))
    observed = _auc(ranks, np.arange(ranks.size) < a.size)
    extreme = 0
    for _ in range(permutations):
        extreme += abs(_auc(rng.permutation(ranks), np.arange(ranks.size) < a.size) - 0.5) >= abs(observed - 0.5) - 1e-12
    return Control(name, observed, (1 + extreme) / (permutations + 1), permutations)


def _control(name: str, features: Floats, size: int, rng: np.random.Generator, seed: int, permutations: int) -> Control:
    truth = np.arange(len(features)) < size
    labelings = np.stack([truth, *(rng.permutation(truth) for _ in range(permutations))], axis=1)
    aucs = np.concatenate(
        [_aucs(features, labelings[:, start : start + _BLOCK], seed) for start in range(0, permutations + 1, _BLOCK)]
    )
    # Below one half a cross-validated classifier has learned nothing: one-sided.
    extreme = int((aucs[1:] >= aucs[0] - 1e-12).sum())
    return Control(name, float(aucs[0]), (1 + extreme) / (permutations + 1), permutations)


def _aucs(features: Floats, labelings: npt.NDArray[np.bool_], seed: int) -> Floats:
    scores = out_of_fold_scores(features, np.where(labelings, 0.5, -0.5), seed)
    return np.array([_auc(mid_ranks(s), truth) for s, truth in zip(scores.T, labelings.T)])


def mid_ranks(scores: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray((below + 1) / 2, dtype=np.float64)


def _auc(ranks: Floats, inside: npt.NDArray[np.bool_]) -> float:
    n = int(inside.sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * (ranks.size - n)))
