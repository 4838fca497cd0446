"""Which claims of one output survive a threshold. Fails closed: no score, no claim; a dropped premise drops what rests on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from conformal.losses import Comparator, kept_claims
from conformal.pipeline.errors import PipelineError
from conformal.pipeline.ledger import ScoredOutput
from conformal.pipeline.scorers.scorer import Score
from conformal.pipeline.splitters.claim import Claim

ABSTENTION = "I cannot answer this reliably."


@dataclass(frozen=True)
class Decision:
    """Places of the kept claims of an output; with none, why."""

    kept: tuple[int, ...]
    reason: str | None = None


class BackOff(Protocol):
    """Decides which claims stay."""

    @property
    def score(self) -> str:
        """The score it goes by."""
        ...

    def decide(self, outputs: Sequence[ScoredOutput]) -> list[Decision]:
        """One an output, each by itself."""
        ...

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        ...


@dataclass(frozen=True)
class ThresholdBackOff:
    """Keep claims whose score lies above `threshold` (Infinity: none), without any guarantee. `closed`: only together with their
    premises. With `groups`, each has a threshold of its own, and
    outputs of other groups, or of none, abstain."""

    score: str
    threshold: float
    comparator: Comparator = ">"
    closed: bool = False
    groups: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if any(map(math.isnan, (self.threshold, *(self.groups or {}).values()))):
            raise PipelineError("the threshold is not a number")
        if self.comparator not in (">", ">="):
            raise PipelineError('claims are kept by ">" or ">="')

    def decide(self, outputs: Sequence[ScoredOutput]) -> list[Decision]:
        found = []
        for output in outputs:
            scores = output.scores.get(self.score, [None] * len(output.claims))
            keep = self.kept(output.claims, scores, output.group)
            kept = tuple(place for place, stays in enumerate(keep) if stays)
            found.append(Decision(kept, None if kept else _reason(output)))
        return found

    def threshold_for(self, group: str | None) -> float:
        """Infinity, which keeps nothing, for a group without a threshold."""
        if self.groups is None:
            return self.threshold
        return self.groups.get(group, math.inf) if group is not None else math.inf

    def kept(self, claims: Sequence[Claim], scores: Sequence[Score], group: str | None = None) -> list[bool]:
        """One a claim. None or a score that is not finite is never kept, whatever the threshold."""
        effective: list[float] = []
        for claim, score in zip(claims, scores, strict=True):
            own = float(score) if score is not None and math.isfinite(score) else math.nan
            least = [own, *(effective[premise] for premise in claim.premises)] if self.closed else [own]
            effective.append(math.nan if any(map(math.isnan, least)) else min(least))
        return [bool(k) for k in kept_claims(np.array(effective, dtype=np.float64), self.threshold_for(group), self.comparator)]

    def to_json(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "threshold": _written(self.threshold),
            "groups": {name: _written(value) for name, value in sorted(self.groups.items())} if self.groups is not None else None,
            "comparator": self.comparator,
            "closed": self.closed,
        }


def _reason(output: ScoredOutput) -> str:
    if output.error is not None:
        return "error-reported"
    return "no-claim-survived" if output.claims else "no-claims"


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
