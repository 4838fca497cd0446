"""Self-consistency: how many of m further samples support a claim, less those that contradict it (arXiv 2402.10978)."""

from __future__ import annotations

from typing import Any

from conformal.pipeline.scorers.judges import SupportJudge
from conformal.pipeline.scorers.scorer import Need, Score, Task, whole_samples


class FrequencyScorer:
    """The sum of the judgements over the samples, in [-m, m]. A missing sample leaves every claim of the output without a score,
    a missing judgement that claim."""

    needs: frozenset[Need] = frozenset({"samples"})

    def __init__(self, judge: SupportJudge) -> None:
        self._judge = judge
        self.name = f"frequency-{judge.name}"

    def describe(self) -> dict[str, Any]:
        return {"scorer": "frequency", **self._judge.describe()}

    def score(self, task: Task) -> list[Score]:
        texts = [claim.text for claim in task.claims]
        votes = [self._judge.judge(sample.text, texts) for sample in whole_samples(task, self.name)]
        return [_sum(column) for column in zip(*votes, strict=True)]


def _sum(column: tuple[float | None, ...]) -> Score:
    known = [vote for vote in column if vote is not None]
    return float(sum(known)) if len(known) == len(column) else None
