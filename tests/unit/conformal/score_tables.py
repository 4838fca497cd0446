"""Synthetic claims with two informative scores and one that tells nothing."""

from __future__ import annotations

import numpy as np

from conformal.claims import ClaimTable


def scored_table(n: int, seed: int, prefix: str = "", texts: bool = True) -> ClaimTable:
    """n outputs of 1 to 12 claims; `good` and `fair` are higher for true claims, `fair` in steps; `flat` is constant."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 13, size=n)
    m = int(sizes.sum())
    truth = rng.random(m) < 0.85
    return ClaimTable(
        ids=tuple(f"{prefix}{i}" for i in range(n)),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        scores={
            "good": rng.normal(size=m) + 1.5 * truth,
            "fair": np.round(rng.normal(size=m) + 1.0 * truth),
            "flat": np.full(m, 0.5),
        },
        labels=tuple("Y" if true else "N" for true in truth),
        groups=(None,) * n,
        texts=tuple(f"{prefix} claim {j}" for j in range(m)) if texts else (),
    )
