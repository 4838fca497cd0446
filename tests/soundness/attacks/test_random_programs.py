"""False results of random programs: the verifier must refuse exactly the witnesses that break a declaration."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.soundness import harness
from tests.soundness.attacks.random_programs import random_case
from tests.soundness.harness import Case, Lab, violations
from zk.protocol.errors import ProgramError, ProvingError, VerificationError


def accepts(lab: Lab, case: Case, *, cheat: bool) -> bool:
    proven = lab.prove(case, cheat=cheat)
    try:
        proven.verify()
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_no_claim_of_a_random_program_is_lost(lab: Lab, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scalar = harness.wrapped
    monkeypatch.setattr(harness, "wrapped", lambda values: scalar(np.asarray(values, dtype=object)))
    try:
        case, results = random_case(seed)
        honest = accepts(lab, case, cheat=False)
    except (ProgramError, ProvingError) as error:  # outside the supported programs, for example an outer product
        pytest.skip(str(error))
    assert violations(case.program, case.tensors()) == []
    assert honest
    rng = random.Random(seed)
    for name in [*results[:2], rng.choice(list(case.witness))]:
        values = np.array(case.witness[name]).reshape(-1)
        values[rng.randrange(values.size)] += rng.choice([1, -1])
        false = case.changed(**{name: values.reshape(case.witness[name].shape)})
        assert accepts(lab, false, cheat=True) == (violations(false.program, false.tensors()) == []), name
