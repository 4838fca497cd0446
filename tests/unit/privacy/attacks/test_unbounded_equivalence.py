"""A mean without bounds may rest on an entity that is not in the sample."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.errors import PlanError
from privacy.probes.unlearning_plan import UnlearningPlan
from privacy.statistics.equivalence import Outcome
from privacy.unlearning.comparison import BINS, Differences, compare


def called_equivalent(metric: str, n: int) -> float:
    """Share of 300 runs in which a model that remembers one entity in ten wholly is within a margin of as much."""
    rng, found = np.random.default_rng(3), 0
    for known in rng.binomial(n, 0.1, 300):
        values = np.repeat([1.0, 0.0], [known, n - known])
        bins = {place: int(count) for place, count in ((0, n - known), (BINS, known)) if count}
        differences = Differences(n, float(values.mean()), float(values.std(ddof=1)), None if metric[:3] == "log" else bins)
        found += compare(metric, differences, 0.1).outcome is Outcome.EQUIVALENT
    return found / 300


def test_a_t_interval_alone_forgets_what_is_rare() -> None:
    assert called_equivalent("log-probability", 10) > 0.2
    assert all(called_equivalent("probability", n) < 0.03 for n in (10, 60, 300))
    for margins in ({"margins": {"log-probability": 0.1}}, {"retain_margins": {"log-probability": 0.1}}):
        with pytest.raises(PlanError, match="shows no equivalence"):
            UnlearningPlan(**margins)  # type: ignore[arg-type]
    UnlearningPlan(margins={"log-probability": 0.1, "probability": 0.1})
