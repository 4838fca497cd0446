"""An attack with the model at hand and all values of the tuning subjects but one: take the published losses apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np

from privacy.probes.white_box.run import PromptPair, run_white_box, tune_prompts
from privacy.probes.white_box.soft_prompt import Kind
from privacy.probes.white_box.tuning import LossCurve
from tests.unit.privacy.probes.test_white_box import COMMIT, DECOYS, PLAN, TESTED, TRAINED, recalling

ENDINGS = 10_000


def test_the_first_loss_would_tell_a_telephone_number() -> None:
    """Two validation subjects, one of whom the attacker signed for: what is left of their mean is the other's loss."""
    losses = 15 + 8 * np.random.default_rng(0).random(ENDINGS)  # of every ending, by the attacker's own copy of the model
    known, victim = 17.0, 4321
    mean = (known + losses[victim]) / 2
    told = LossCurve((0, 10), (mean, mean - 4), (mean, mean - 4)).to_json()
    to_three_digits = np.abs((known + losses) / 2 - round(mean, 3)) <= 5e-4
    assert to_three_digits[victim] and to_three_digits.sum() <= 10
    as_told = [LossCurve((0,), (one,), (one,)).to_json()["validation"][0] for one in (known + losses) / 2]
    assert told["validation"][0] == 1.0 and set(as_told) == {1.0}
    assert told["validation"][1] == round((mean - 4) / mean, 1)


def test_neither_seed_nor_digest_can_be_made_again() -> None:
    plan = dataclasses.replace(PLAN, tuning=dataclasses.replace(PLAN.tuning, seed=123456789))
    result = run_white_box(plan, TRAINED, [*TESTED, *DECOYS], recalling(), commit=COMMIT)
    assert "123456789" not in json.dumps(result.to_json())
    pair = tune_prompts(plan, TRAINED, [*TESTED, *DECOYS], recalling(), commit=COMMIT)
    assert isinstance(pair, PromptPair) and pair.real.kind is Kind.REAL
    array = np.ascontiguousarray(pair.real.array, dtype="<f4")
    made_again = hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()
    assert pair.real.digest == made_again
    told = [prompt["digest"] for prompt in result.prompts]
    assert made_again not in told and told[0] == COMMIT("digest of a soft prompt", made_again)
