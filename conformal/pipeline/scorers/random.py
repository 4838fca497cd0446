"""A score that knows nothing, uniform on [0, 1): what a guarantee costs without information. Its seed is stored."""

from __future__ import annotations

from typing import Any

from conformal.pipeline.model import derive_seed
from conformal.pipeline.scorers.scorer import Need, Score, Task


class RandomScorer:
    """A hash of seed, output and place: the same in any order of work."""

    name = "random"
    needs: frozenset[Need] = frozenset()

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def describe(self) -> dict[str, Any]:
        return {"scorer": self.name, "seed": self._seed}

    def score(self, task: Task) -> list[Score]:
        return [derive_seed(self._seed, "random", task.id, place) / 2.0**31 for place in range(len(task.claims))]
