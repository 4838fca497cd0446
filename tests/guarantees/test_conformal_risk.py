"""Expected losses under conformal risk control stay below what was promised, for n from 20 to 500."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.claims import ClaimTable
from conformal.losses import AtMostFalse
from conformal.risk import LossCurves, control_risk, find_risk_threshold, measure_risk
from conformal.risk_losses import Broken, FalseCount, FalseFraction, OmissionWeighted
from tests.unit.conformal.drift_streams import biographies

ALPHA = Fraction(1, 10)
LOSSES = {
    "fraction": (FalseFraction(), ALPHA),
    "count": (FalseCount(5), Fraction(1, 2)),
    "omission": (OmissionWeighted(Fraction(1, 20)), ALPHA),
}


def truth_of(table: ClaimTable) -> Any:
    return np.array([label == "Y" for label in table.labels or ()], dtype=bool)


def mean_losses(name: str, draws: int, n: int, fresh: int, seed: int) -> Any:
    """For every draw of a calibration set: the mean loss of fresh outputs at its threshold."""
    loss, alpha = LOSSES[name]
    rng, out = np.random.default_rng(seed), []
    for _ in range(draws):
        table = biographies(rng, n, 0.85)
        found = control_risk(loss, table, table.score("frequency"), truth_of(table), alpha)
        test = biographies(rng, fresh, 0.85)
        curves = LossCurves(loss, test, test.score("frequency"), truth_of(test), envelope=False)
        out.append(float(curves.total(found.value) / fresh))
    return np.array(out), float(alpha)


def judge_mean(values: Any, target: float, floor: float = 0.0) -> None:
    """The mean is not above `target` by more than three standard errors, nor below `floor`."""
    error = values.std() / np.sqrt(len(values))
    assert floor <= values.mean() <= target + 3 * error, (values.mean(), error)


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 100, 500])
@pytest.mark.parametrize("name", LOSSES)
def test_expected_losses(name: str, n: int) -> None:
    values, alpha = mean_losses(name, 1000, n, 60, seed=n)
    print(f"{name}, n {n}: E[loss] {values.mean():.4f}, promised {alpha}")
    # A count only falls with the threshold: no more is given away than the correction, twice. The others pay for their envelope.
    bound = LOSSES[name][0].bound
    judge_mean(values, alpha, floor=alpha - 2 * float(bound) / n if name == "count" else 0.0)


@pytest.mark.parametrize("name", LOSSES)
def test_expected_losses_slice(name: str) -> None:
    values, alpha = mean_losses(name, 40, 40, 40, seed=3)
    judge_mean(values, alpha)


def test_an_uncorrected_threshold_would_fail() -> None:
    """The measurement sees what it is for: leaving out B / (n + 1) breaks the promise at n = 20."""
    rng, values = np.random.default_rng(1), []
    statement, uncorrected = Broken(AtMostFalse(2)), Broken(AtMostFalse(2), bound=Fraction(0))
    for _ in range(150):
        table, test = biographies(rng, 20, 0.75), biographies(rng, 60, 0.75)
        curves = LossCurves(statement, table, table.score("frequency"), truth_of(table))
        lenient = find_risk_threshold(curves, uncorrected, ALPHA).value
        values.append(float(measure_risk(statement, test, test.score("frequency"), truth_of(test), lenient)))
    with pytest.raises(AssertionError):
        judge_mean(np.array(values), float(ALPHA))
