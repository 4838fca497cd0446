"""Semantic entropy: the entropy of the meanings among the samples, meanings being clusters under entailment both ways
(arXiv 2302.09664; the discrete form of Farquhar et al., Nature 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from conformal.pipeline.model import Entailment
from conformal.pipeline.scorers.scorer import Need, Score, ScoreError, Task, whole_samples


class SemanticEntropyScorer:
    """Minus the entropy (nats) of the clusters' shares among the samples: 0 when all say the same. A property of the prompt: all
    claims of an output have the same score, so that it is kept or dropped whole. A pair that cannot be judged leaves no score."""

    name = "semantic-entropy"
    needs: frozenset[Need] = frozenset({"samples"})

    def __init__(self, entailment: Entailment) -> None:
        self._entailment = entailment

    def describe(self) -> dict[str, Any]:
        return {"scorer": self.name, "form": "discrete", **self._entailment.describe()}

    def score(self, task: Task) -> list[Score]:
        samples = [sample.text for sample in whole_samples(task, self.name)]
        if not task.claims:
            return []
        sizes = [len(cluster) for cluster in cluster_meanings(self._entailment, samples)]
        entropy = -sum(size / len(samples) * math.log(size / len(samples)) for size in sizes)
        return [0.0 - entropy] * len(task.claims)


def cluster_meanings(entailment: Entailment, texts: Sequence[str]) -> list[list[int]]:
    """Indices by meaning: a text joins the first cluster whose first member it entails and is entailed by. Raises ScoreError."""
    clusters: list[list[int]] = []
    for place, text in enumerate(texts):
        for cluster in clusters:
            first = texts[cluster[0]]
            if text == first or _same(entailment, first, text):
                cluster.append(place)
                break
        else:
            clusters.append([place])
    return clusters


def _same(entailment: Entailment, one: str, other: str) -> bool:
    verdicts = entailment.verdicts([(one, other), (other, one)])
    if any(verdict is None for verdict in verdicts):
        raise ScoreError("semantic-entropy: two samples could not be compared")
    return all(verdict == "entails" for verdict in verdicts)
