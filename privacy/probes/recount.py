"""Reading a published result again: everything that follows from ranks and counts is rebuilt, and must be what was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from privacy.probes.plan import ProbePlan
from privacy.probes.results import ProbeResult


def recount(content: Mapping[str, Any], plan: ProbePlan) -> ProbeResult:
    """The result that a published one stands for. `plan`: what the run was asked to do (its seed does not matter).

    Raises ScoreError where a number does not follow from the ranks or counts, where one of these is impossible (a rank outside
    1..N + 1, fewer decoys or nulls than planned), or where the form is another.
    """
    raise NotImplementedError
