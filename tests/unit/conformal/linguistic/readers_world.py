"""Readers with known faults, and files of paragraphs about nothing, for tests of calibration."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from conformal.linguistic.binning import Floats
from conformal.linguistic.scores import Forecasts, build_forecasts


def beta_reader(n: int, rng: np.random.Generator, power: float = 1.0) -> tuple[Floats, Floats]:
    """Confidences of law Beta(2, 1) and outcomes with probability confidence ** power: calibrated at power 1."""
    confidence = rng.beta(2, 1, n)
    return confidence, (rng.random(n) < confidence**power).astype(np.float64)


def calibrated_forecasts(n: int, width: int, rng: np.random.Generator) -> Forecasts:
    """Dirichlet forecasts whose truths are drawn from them."""
    rows = rng.dirichlet(np.linspace(0.5, 2.0, width), n)
    truth = np.minimum((rng.random(n)[:, None] >= np.cumsum(rows, axis=1)).sum(axis=1), width - 1)
    return build_forecasts(rows.tolist(), truth.tolist())


def paragraph_line(
    name: str, text: str | None, options: Sequence[str], truth: str, readers: dict[str, list[float] | None] | None = None
) -> str:
    """One line of a file, with one question."""
    question = {"question": "Which?", "options": list(options), "truth": truth, **({"readers": readers} if readers else {})}
    return json.dumps({"id": name, "text": text, "questions": [question]})
