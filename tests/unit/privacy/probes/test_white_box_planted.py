"""The white-box probe on a small model with planted people: more is recalled after a soft prompt, and none of it is invented."""

from __future__ import annotations

import json

import pytest

from audit.runners.planted import PlantedPlan, draw_planted
from privacy.probes.white_box.results import recount
from privacy.probes.white_box.tuning import Tuning
from privacy.redaction import find_residue
from tests import planted_white_box

pytestmark = pytest.mark.slow
PLANTED = PlantedPlan(seed=3, people=((16, 80),), heldout=60, types=("phone",), recipe="planted-small")


def test_held_out_people_are_recalled_better_after_a_soft_prompt() -> None:
    tuning = Tuning(steps=120, patience=3)
    plan, result = planted_white_box.probe(
        PLANTED, PLANTED, planted_white_box.DEED, trained=40, alpha=0.2, decoys=30, tuning=tuning
    )
    told = planted_white_box.describe(result)
    print(told)
    assert result.gains[0].p_value <= 0.05, told  # measured: 2e-5 and, over the control prompt, 6e-3
    assert result.gains[1].mean > -0.05, told
    assert all(gain.p_value > 1e-3 for gain in result.decoy_gains), told
    written = json.dumps(result.to_json())
    people = draw_planted(PLANTED).tested
    assert not find_residue(written.encode(), [value for person in people for value in person.values.values()])
    assert recount(json.loads(written), plan).word is result.word
