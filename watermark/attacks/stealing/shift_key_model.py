"""A model that follows its prompt perfectly and marks with a shift key: what recovery of distortion-free keys is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.attacks.stealing.distortion_free import Question


@dataclass
class ExpResponder:
    """EXP (arXiv 2307.15593): step i writes argmax log(xi[row, v]) / p_v with row (s + i) mod n. `xi`: (n, vocab_size)."""

    xi: npt.NDArray[np.float64] = field(repr=False)
    random_offset: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def __call__(self, questions: Sequence[Question]) -> list[int]:
        start = int(self._rng.integers(len(self.xi))) if self.random_offset else 0
        logs = np.log(np.maximum(self.xi, 1e-300))
        answers = []
        for step, asked in enumerate(questions):
            row = logs[(start + step) % len(logs)]
            first = row[asked.first] / max(asked.p, 1e-12) >= row[asked.second] / max(1 - asked.p, 1e-12)
            answers.append(asked.first if first else asked.second)
        return answers


@dataclass
class ItsResponder:
    """ITS: the first token in the order of `permutation` whose cumulative probability reaches xi[row]. `xi`: (n,)."""

    xi: npt.NDArray[np.float64] = field(repr=False)
    permutation: npt.NDArray[np.int64] = field(repr=False)
    random_offset: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._place = np.argsort(self.permutation)

    def __call__(self, questions: Sequence[Question]) -> list[int]:
        start = int(self._rng.integers(len(self.xi))) if self.random_offset else 0
        answers = []
        for step, asked in enumerate(questions):
            earlier, later, p = asked.first, asked.second, asked.p
            if self._place[earlier] > self._place[later]:
                earlier, later, p = later, earlier, 1 - p
            answers.append(earlier if self.xi[(start + step) % len(self.xi)] <= p else later)
        return answers
