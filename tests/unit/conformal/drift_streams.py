"""Synthetic streams in the manner of section 5.5: biographies of about 27 claims, five-sample frequencies as scores.

How right an output is varies from person to person; `skill` is its mean. A false claim is supported by fewer samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable

CLAIMS, SAMPLES, SPREAD = 27, 5, 7.0


def biographies(rng: np.random.Generator, n: int, skill: float, prefix: str = "o") -> ClaimTable:
    """n outputs whose claims are true with a probability of mean `skill`, with the score `frequency` (ties broken by noise)."""
    sizes = 1 + rng.poisson(CLAIMS - 1, n)
    each = rng.beta(SPREAD * skill, SPREAD * (1 - skill), n)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    known = np.repeat(each, sizes)
    truth = rng.random(len(known)) < known
    support = rng.binomial(SAMPLES, np.where(truth, 0.35 + 0.6 * known, 0.1 + 0.5 * known)) / SAMPLES
    return ClaimTable(
        ids=tuple(f"{prefix}{i}" for i in range(n)),
        offsets=offsets,
        scores={"frequency": support + rng.normal(0, 1e-3, len(support))},
        labels=tuple("Y" if t else "N" for t in truth),
        groups=(None,) * n,
    )


def conformity(table: ClaimTable, loss: Any) -> npt.NDArray[np.float64]:
    truth = np.array([label == "Y" for label in table.labels or ()], dtype=bool)
    return np.asarray(loss.conformity(table, table.score("frequency"), truth))


def scored(values: npt.NDArray[np.float64], prefix: str) -> list[tuple[str, float]]:
    return [(f"{prefix}{i}", float(value)) for i, value in enumerate(values)]
