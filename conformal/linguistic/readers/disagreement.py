"""How far two readers take different things from the same texts: a calibration figure is only as good as its reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conformal.linguistic.readers.protocol import ReaderError, Reading


@dataclass(frozen=True)
class Disagreement:
    """Over `both` questions that both readers answered: `total_variation` is the mean of half the sum of |f - g|, in [0, 1];
    `other_answer` the share where their most probable options differ (ties count as agreement if the sets of best options
    meet); `confidence_correlation` that of their top probabilities, None below 3 questions or without spread. `first_only`
    and `second_only` count the questions that one reader alone answered."""

    n: int
    both: int
    first_only: int
    second_only: int
    total_variation: float | None
    other_answer: float | None
    confidence_correlation: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def disagreement(first: Sequence[Reading], second: Sequence[Reading]) -> Disagreement:
    """Of two readers' readings of the same questions, in the same order. Raises ReaderError where they do not match."""
    if len(first) != len(second) or not first:
        raise ReaderError(f"readings of {len(first)} and {len(second)} questions cannot be compared")
    pairs = [(a.distribution, b.distribution) for a, b in zip(first, second)]
    answered = [(np.array(a), np.array(b)) for a, b in pairs if a is not None and b is not None]
    if any(len(a) != len(b) for a, b in answered):
        raise ReaderError("the readers answered questions with different options")
    ours = np.array([a.max() for a, _ in answered])
    theirs = np.array([b.max() for _, b in answered])
    spread = len(answered) >= 3 and ours.std() > 0 and theirs.std() > 0
    return Disagreement(
        n=len(pairs),
        both=len(answered),
        first_only=sum(a is not None and b is None for a, b in pairs),
        second_only=sum(a is None and b is not None for a, b in pairs),
        total_variation=float(np.mean([0.5 * np.abs(a - b).sum() for a, b in answered])) if answered else None,
        other_answer=float(np.mean([not ((a == a.max()) & (b == b.max())).any() for a, b in answered])) if answered else None,
        confidence_correlation=float(np.corrcoef(ours, theirs)[0, 1]) if spread else None,
    )
