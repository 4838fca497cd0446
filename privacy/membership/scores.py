"""Membership scores as functions of token log-probabilities: larger = more likely a member. Pure; no model is run here.

A token log-probability is finite and at most 0; a sequence has at least one token.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.binomial import check_level
from privacy.statistics.scores import Floats, as_scores

# Back ends compute in single precision: a log-probability may come out a little above 0.
_SLACK = 1e-3
MAX_TEXT_BYTES = 10_000_000


def token_log_probs(values: npt.ArrayLike) -> Floats:
    """Checked token log-probabilities. Raises ScoreError."""
    found = as_scores(values, "token log-probabilities")
    if (found > _SLACK).any():
        raise ScoreError("a token log-probability is above 0")
    return found


def loss_score(log_probs: npt.ArrayLike) -> float:
    """Minus the mean loss (Yeom et al. 2018)."""
    return float(token_log_probs(log_probs).mean())


def zlib_score(log_probs: npt.ArrayLike, text: bytes) -> float:
    """Log-likelihood divided by the length of the compressed text in bytes (Carlini et al. 2021)."""
    if not 0 < len(text) <= MAX_TEXT_BYTES:
        raise ScoreError(f"a text has 1 to {MAX_TEXT_BYTES} bytes")
    return float(token_log_probs(log_probs).sum()) / len(zlib.compress(text))


def min_k_score(log_probs: npt.ArrayLike, share: float = 0.2) -> float:
    """Min-K%: mean of the lowest share of token log-probabilities, at least one token (Shi et al., arXiv 2310.16789)."""
    return _lowest(token_log_probs(log_probs), share)


def min_k_plus_plus_score(log_probs: npt.ArrayLike, means: npt.ArrayLike, deviations: npt.ArrayLike, share: float = 0.2) -> float:
    """Min-K%++: the same of (log p - mu) / sigma (Zhang et al., arXiv 2404.02936).

    mu and sigma: mean and standard deviation of the log-probability over the vocabulary, under the model's own distribution at
    that position. Raises ScoreError for a sigma that is not positive.
    """
    values = token_log_probs(log_probs)
    mu, sigma = as_scores(means, "vocabulary means"), as_scores(deviations, "vocabulary deviations")
    if not values.shape == mu.shape == sigma.shape:
        raise ScoreError("log-probabilities, means and deviations differ in length")
    if not (sigma > 0).all():
        raise ScoreError("a vocabulary deviation is not positive")
    return _lowest((values - mu) / sigma, share)


def _lowest(values: Floats, share: float) -> float:
    if share != 1:
        check_level(share, "share")
    kept = max(1, int(values.size * share))
    return float(np.sort(values)[:kept].mean())


def reference_score(log_probs: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Mean log-likelihood minus that of the same tokens under a reference model."""
    ours, theirs = token_log_probs(log_probs), token_log_probs(reference)
    if ours.shape != theirs.shape:
        raise ScoreError("model and reference have different numbers of tokens")
    return float((ours - theirs).mean())


def rmia_score(
    target: float, target_references: npt.ArrayLike, population: npt.ArrayLike, population_references: npt.ArrayLike,
    gamma: float = 1.0, offline_a: float = 1.0,
) -> float:  # fmt: skip
    """RMIA (Zarifzadeh et al., arXiv 2312.03262): share of population points z with LR(x, z) >= gamma, between 0 and 1.

    Log-likelihoods of x and of the population (n) under the model and under R reference models (R, and n x R). LR(x, z) =
    [p(x | model) / p(x)] / [p(z | model) / p(z)], p(.) the mean over references, for offline references moved towards 1 by
    p <- ((1 + a) p + (1 - a)) / 2; a = 1 leaves them.
    """
    if not gamma > 0 or not 0 <= offline_a <= 1:
        raise PlanError("gamma is positive, offline_a lies between 0 and 1")
    own = as_scores(target_references, "reference log-likelihoods")
    points, others = as_scores(population, "population"), as_scores(population_references, "its reference log-likelihoods", 2)
    if others.shape != (points.size, own.size):
        raise ScoreError("every population point needs a log-likelihood under every reference")
    ratio = float(as_scores([target], "the target")[0]) - float(_log_marginal(own[None, :], offline_a)[0])
    ratios = points - _log_marginal(others, offline_a)
    return float((ratio - ratios >= math.log(gamma)).mean())


def _log_marginal(log_likelihoods: Floats, offline_a: float) -> Floats:
    mean = np.logaddexp.reduce(log_likelihoods, axis=1) - math.log(log_likelihoods.shape[1])
    if offline_a == 1:
        return np.asarray(mean)
    return np.asarray(np.logaddexp(mean + math.log((1 + offline_a) / 2), math.log((1 - offline_a) / 2)))
