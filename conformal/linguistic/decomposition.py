"""The Brier score of a confidence, taken apart: Murphy (1973), with the two within-bin terms of Stephenson et al. (2008).

    brier = reliability - resolution + uncertainty + within_variance - within_covariance

holds exactly for any bins. Murphy's three terms alone sum to the score only where all forecasts in a bin are equal. A text that
hedges everything alike has good reliability and no resolution, which ECE alone does not show.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from conformal.linguistic.binning import DEFAULT_BINS, Floats, equal_mass


@dataclass(frozen=True)
class Decomposition:
    """All in squared probability. `resolution` is at most `uncertainty`; `skill` is 1 - brier / uncertainty, None where all
    outcomes are alike."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float

    @property
    def generalized_resolution(self) -> float:
        """Resolution with what the forecasts sort within bins: brier = reliability - this + uncertainty."""
        return self.resolution - self.within_variance + self.within_covariance

    @property
    def skill(self) -> float | None:
        return 1.0 - self.brier / self.uncertainty if self.uncertainty > 0 else None

    def to_json(self) -> dict[str, float | None]:
        return {**asdict(self), "generalized_resolution": self.generalized_resolution, "skill": self.skill}


def decompose(confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS) -> Decomposition:
    """Of n confidences and their outcomes (0 or 1), over bins of equal mass. Raises LevelError."""
    found = equal_mass(confidence, bins)
    share = found.sizes / len(confidence)
    forecast, observed, base = found.means(confidence), found.means(outcomes), outcomes.mean()
    off, left = confidence - found.spread(forecast), outcomes - found.spread(observed)
    return Decomposition(
        brier=float(((confidence - outcomes) ** 2).mean()),
        reliability=float((share * (forecast - observed) ** 2).sum()),
        resolution=float((share * (observed - base) ** 2).sum()),
        uncertainty=float(base * (1.0 - base)),
        within_variance=float((off**2).mean()),
        within_covariance=float(2.0 * np.mean(off * left)),
    )
