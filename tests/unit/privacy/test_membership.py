"""Membership scores against their formulas, thresholds from held-out non-members, and refusals."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest

from privacy.errors import PlanError, ScoreError
from privacy.membership import rates
from privacy.membership import scores as membership
from privacy.membership.dataset_inference import infer_dataset

LOG_PROBS = [-1.0, -4.0, -0.5, -2.5, -3.0]


def test_scores_of_one_sequence() -> None:
    assert membership.loss_score(LOG_PROBS) == pytest.approx(-2.2)
    assert membership.zlib_score(LOG_PROBS, b"some text") == pytest.approx(-11 / len(zlib.compress(b"some text")))
    assert membership.min_k_score(LOG_PROBS, 0.4) == pytest.approx(-3.5)
    assert membership.min_k_score(LOG_PROBS, 0.01) == -4.0
    assert membership.min_k_score(LOG_PROBS, 1) == pytest.approx(membership.loss_score(LOG_PROBS))
    assert membership.reference_score(LOG_PROBS, [x - 1 for x in LOG_PROBS]) == pytest.approx(1.0)


def test_min_k_plus_plus_from_a_vocabulary() -> None:
    """mu and sigma under the model's own distribution: of a uniform vocabulary every token has z = 0/0, which is refused."""
    p = np.array([0.7, 0.2, 0.1])
    mu = float((p * np.log(p)).sum())
    sigma = float(np.sqrt((p * (np.log(p) - mu) ** 2).sum()))
    z = (np.log(p[[0, 2]]) - mu) / sigma
    assert membership.min_k_plus_plus_score(np.log(p[[0, 2]]), [mu] * 2, [sigma] * 2, 0.5) == pytest.approx(z.min())
    with pytest.raises(ScoreError, match="deviation"):
        membership.min_k_plus_plus_score([-1.0], [-1.0], [0.0])


@pytest.mark.parametrize("bad", [[], [math.nan], [0.5], [-math.inf], [[-1.0]]])
def test_bad_log_probs(bad: list[float]) -> None:
    for score in (membership.loss_score, membership.min_k_score):
        with pytest.raises(ScoreError):
            score(bad)


def test_lengths_must_agree() -> None:
    with pytest.raises(ScoreError):
        membership.reference_score(LOG_PROBS, LOG_PROBS[:-1])
    with pytest.raises(ScoreError):
        membership.zlib_score(LOG_PROBS, b"")
    with pytest.raises(ScoreError):
        membership.rmia_score(-1.0, [-1.0, -1.0], [-1.0], [[-1.0]])


def test_rmia() -> None:
    """Against the definition in probabilities."""
    rng = np.random.default_rng(1)
    x, x_refs, z, z_refs = -1.2, rng.normal(-2, 1, 3), rng.normal(-2, 1, 50), rng.normal(-2, 1, (50, 3))
    for a in (1.0, 0.3):
        marginal = lambda refs: ((1 + a) * np.exp(refs).mean(axis=-1) + (1 - a)) / 2  # noqa: B023, E731
        ratio = np.exp(x) / marginal(x_refs) / (np.exp(z) / marginal(z_refs))
        assert membership.rmia_score(x, x_refs, z, z_refs, 1.1, a) == pytest.approx((ratio >= 1.1).mean())
    assert membership.rmia_score(-5000.0, [-5100.0], [-5000.0], [[-5000.0]]) == 1.0, "no underflow of long sequences"


def test_threshold_rank() -> None:
    scores = np.arange(199.0)
    threshold = rates.conformal_threshold(scores, 0.05)
    assert (threshold.rank, threshold.value) == (10, 189.0)
    assert rates.conformal_threshold(scores, 0.05, 0.95).rank < 10
    assert threshold.fpr_below > 0.05 >= rates.conformal_threshold(scores, 0.05, 0.95).fpr_below


@pytest.mark.parametrize(("n", "fpr"), [(18, 0.05), (300, 0.001), (998, 0.001)])
def test_too_few_non_members(n: int, fpr: float) -> None:
    with pytest.raises(PlanError, match="at least"):
        rates.conformal_threshold(np.arange(float(n)), fpr)


def test_ties_are_not_above() -> None:
    found = rates.tpr_at_fpr([1.0] * 10, [1.0] * 99, 0.05)
    assert found.above == 0 and found.interval[0] == 0.0


def test_tpr_does_not_depend_on_other_non_members() -> None:
    rng = np.random.default_rng(2)
    found = rates.tpr_at_fpr(rng.normal(size=200) + 2, rng.normal(size=999), 0.01)
    assert found.threshold.rank == 10 and found.interval[0] < found.tpr < found.interval[1]


def test_auc() -> None:
    members, others = [3.0, 1.0, 2.0], [0.0, 1.0, 2.5]
    pairs = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert rates.compute_auc(members, others).value == pytest.approx(np.mean(pairs))
    assert rates.compute_auc([1.0, 2.0], [0.0, -1.0]).interval[1] == 1.0
    rng = np.random.default_rng(3)
    wide = rates.compute_auc(rng.normal(size=300) + 1, rng.normal(size=300))
    assert wide.certain[0] < wide.interval[0] < wide.value < wide.interval[1] < wide.certain[1]
    with pytest.raises(PlanError):
        rates.compute_auc([1.0], [0.0, 1.0])


def test_dataset_inference_sees_a_shift() -> None:
    rng = np.random.default_rng(4)
    validation, suspect = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    suspect[:, 2] += 0.8
    assert infer_dataset(suspect, validation).p_value == 0.001
    assert infer_dataset(np.ones((20, 2)), np.ones((20, 2))).p_value == 1.0


def test_dataset_inference_refusals() -> None:
    x = np.zeros((20, 2))
    with pytest.raises(ScoreError):
        infer_dataset(x, np.zeros((20, 3)))
    with pytest.raises(ScoreError):
        infer_dataset(np.full((20, 2), math.nan), x)
    for arguments in ((x[:7], x, 999), (x, x, 18), (x, x, 10**9)):
        with pytest.raises(PlanError):
            infer_dataset(*arguments)
