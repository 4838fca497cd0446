"""Why leave-one-out and no division by a question's own spread: the exact policy gradient, with outcomes that are uncertain."""

from __future__ import annotations

import numpy as np

from conformal.linguistic.training.reward import RewardRule

LEVELS = np.array([0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
GENERATIONS = 4


def _trained(accuracy: float, divide: bool) -> float:
    """Mean stated confidence of a softmax policy over LEVELS after training on questions that are right at `accuracy`."""
    rule, rng = RewardRule(), np.random.default_rng(1)
    rewards = np.array([[rule.score({"a": p}, ["b"]), rule.score({"a": p}, ["a"])] for p in LEVELS]).T
    logits = np.zeros(len(LEVELS))
    for step in range(3_000):
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
        right = (rng.random(64) < accuracy).astype(int)
        chosen = rng.choice(len(LEVELS), size=(64, GENERATIONS), p=policy)
        reward = rewards[right[:, None], chosen]
        advantage = (reward - reward.mean(1, keepdims=True)) * GENERATIONS / (GENERATIONS - 1)
        if divide:
            advantage /= reward.std(1, keepdims=True) + 1e-4
        gradient = np.zeros(len(LEVELS))
        np.add.at(gradient, chosen.ravel(), advantage.ravel())
        gradient -= advantage.sum() * policy
        logits += 2e-3 * (1 - step / 3_000) * gradient
    policy = np.exp(logits - logits.max())
    return float(policy @ LEVELS / policy.sum())


def test_leave_one_out_learns_the_accuracy() -> None:
    for accuracy in (0.35, 0.65, 0.8):
        assert abs(_trained(accuracy, divide=False) - accuracy) < 0.05


def test_dividing_by_the_spread_of_a_question_learns_overconfidence() -> None:
    """arXiv 2508.11800: wrong answers, whose scores spread widely, are weighed down."""
    assert _trained(0.65, divide=True) > 0.75
    assert _trained(0.8, divide=True) > 0.87
