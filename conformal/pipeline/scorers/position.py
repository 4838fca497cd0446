"""Earlier claims first: the reference "ordinal" score, M - position. The least a score must beat."""

from __future__ import annotations

from typing import Any

from conformal.pipeline.scorers.scorer import Need, Score, Task


class PositionScorer:
    """M for the first of M claims, 1 for the last."""

    name = "position"
    needs: frozenset[Need] = frozenset()

    def describe(self) -> dict[str, Any]:
        return {"scorer": self.name}

    def score(self, task: Task) -> list[Score]:
        return [float(len(task.claims) - place) for place in range(len(task.claims))]
