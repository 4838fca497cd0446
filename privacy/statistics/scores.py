"""Scores: larger = more evidence of memorisation. Checked on entry; calibrated against a reference; joined over templates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError

Floats = npt.NDArray[np.float64]
MAX_SCORES = 50_000_000
# The median absolute deviation of a normal law is this share of its standard deviation; one factor for all, so p is unchanged.
_MAD_OF_NORMAL = 0.6744897501960817


def as_scores(values: npt.ArrayLike, name: str, dimensions: int = 1) -> Floats:
    """Finite float64 scores with the given number of axes, none of them empty. Raises ScoreError; no message repeats a score."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScoreError(f"{name} are no numbers") from None
    if array.ndim != dimensions:
        raise ScoreError(f"{name} need {dimensions} axes, not {array.ndim}")
    if array.size == 0:
        raise ScoreError(f"{name} are empty")
    if array.size > MAX_SCORES:
        raise ScoreError(f"{name} are more than {MAX_SCORES}")
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ScoreError(f"{name} hold NaN or infinity (position {where}); a missing score is never a number")
    return array


def calibrate(model: npt.ArrayLike, reference: npt.ArrayLike, tokens: npt.ArrayLike) -> Floats:
    """s = (l_model - l_ref) / L elementwise: summed log-likelihoods of the same strings under both models, L tokens each.

    Needed wherever the value was not drawn by the auditor: it removes what any model of that language would find likely.
    Raises ScoreError.
    """
    ours, theirs = np.asarray(model, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    lengths = np.asarray(tokens, dtype=np.float64)
    if not ours.shape == theirs.shape == lengths.shape:
        raise ScoreError("model scores, reference scores and token counts differ in shape")
    if not (lengths >= 1).all():
        raise ScoreError("a token count is below 1")
    return as_scores((ours - theirs) / lengths, "calibrated scores", ours.ndim)


def join_templates(
    target: npt.ArrayLike, nulls: npt.ArrayLike, standardise: bool = True, least_spread: float = 0.0
) -> tuple[float, Floats]:
    """One statistic over K templates, the maximum, for the target (K) and its N nulls (K x N) alike.

    `standardise`: each template by median and median absolute deviation of all N + 1 scores, the target's included. Both are
    symmetric in these, so exchangeable scores stay exchangeable; a template whose spread (that deviation, in standard deviations
    of a normal law) is at most `least_spread` is only centred: dividing by it would blow rounding up to differences.
    """
    own, others = as_scores(target, "target scores"), as_scores(nulls, "null scores", 2)
    if others.shape[0] != own.size:
        raise ScoreError(f"target has {own.size} templates, its nulls {others.shape[0]}")
    everyone = np.concatenate([own[:, None], others], axis=1)
    if standardise:
        everyone = everyone - np.median(everyone, axis=1, keepdims=True)
        spread = np.median(np.abs(everyone), axis=1, keepdims=True) / _MAD_OF_NORMAL
        everyone = everyone / np.where(spread > least_spread, spread, 1.0)
        if not np.isfinite(everyone).all():
            raise ScoreError("scores of one template differ too much in size to be standardised")
    best = everyone.max(axis=0)
    return float(best[0]), best[1:]
