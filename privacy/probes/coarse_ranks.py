"""Ranks of consented values as they are told: rounded against the accusation, so that a report does not tell the value.

Whoever has the model can score every value of a format. A rank r among N nulls then says in which share of them the value lies,
to about sqrt(p (1 - p) / N): among 10,000 nulls one rank leaves a hundredth of all telephone numbers, and a few ranks of one
value, by other prompts or in other audits, leave a single one. Rounded, the rank of a value that is not unusual tells next to
nothing; a small rank, on which verdicts rest, stays as it is. A p-value that is rounded up stays valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from privacy.probes.evidence import Evidence, IntervalEvidence, RankEvidence
from privacy.probes.plan import ProbePlan

EXACT = 10
"""Ranks up to this are told as they are; above, 10, 20, 50, 100, ... up to half of the ranks there are, and the last one."""
_STEPS = (1, 2, 5)


def told(evidence: Evidence, plan: ProbePlan) -> Evidence:
    """What may leave a run of what was measured of a consented value. Telling it again changes nothing."""
    if isinstance(evidence, RankEvidence):
        return _told_rank(evidence, plan)
    if isinstance(evidence, IntervalEvidence):
        ranks = evidence.nulls + 1
        return replace(evidence, best=round_down(evidence.best, ranks), worst=round_up(evidence.worst, ranks))
    return evidence


def _told_rank(found: RankEvidence, plan: ProbePlan) -> RankEvidence:
    stop = plan.stop_after
    if stop and found.rank == stop and found.nulls < plan.nulls:
        times = max(step for step in (1, *_ladder((found.nulls + 1) // stop)) if step * stop <= found.nulls + 1)
        return replace(found, nulls=times * stop - 1)
    rank = round_up(found.rank, found.nulls + 1)
    return replace(found, rank=min(rank, stop) if stop else rank)


def round_up(rank: int, ranks: int) -> int:
    """The least rank that is told and is not below `rank`."""
    if rank <= EXACT:
        return rank
    return next((step for step in _ladder(ranks // 2) if step >= rank), ranks)


def round_down(rank: int, ranks: int) -> int:
    """The largest rank that is told and is not above `rank`."""
    if rank <= EXACT or rank == ranks:
        return rank
    return max(EXACT, *(step for step in _ladder(ranks // 2) if step <= rank))


def _ladder(most: int) -> Iterator[int]:
    """1, 2, 5, 10, 20, ... up to `most`."""
    power = 1
    while power <= most:
        yield from (step * power for step in _STEPS if step * power <= most)
        power *= 10
