"""What an integer programme is told: its setting, what the detector answered, and the counts at which the detector decides."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.attacks.stealing.zipf import Ints
from watermark.errors import AttackError
from watermark.nulls import binomial

SETTINGS = ("vanilla-as1", "oracle-as1", "pro-as1", "as2")
DEFAULT_TIME_LIMIT = 300.0


@dataclass(frozen=True)
class ProgramSettings:
    """`gamma` and `alpha` are the detector's (alpha: its p-value threshold on distinct items). `marked_slack` and
    `natural_slack` loosen stage 1 in stage 2 (the source's wm_bound and nl_bound, 0.8 to 1.2). `flags` (low, high): as2 keeps
    this share of the texts of each collection (source: 0.98, 0.99); None keeps all. `token_costs` (vocab_size) multiply the
    costs: the source makes stop words and words of one or two letters 2 to 5 times dearer. `time_limit` in seconds a stage.
    """

    setting: str = "vanilla-as1"
    gamma: float = 0.25
    alpha: float = 1e-3
    marked_slack: float = 0.95
    natural_slack: float = 0.95
    flags: tuple[float, float] | None = None
    token_costs: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    integral: bool = False
    time_limit: float = DEFAULT_TIME_LIMIT
    gap: float = 1e-4

    def checked(self) -> ProgramSettings:
        """Itself, or AttackError."""
        if self.setting not in SETTINGS:
            raise AttackError(f"there is no setting {str(self.setting)[:40]!r}; known: {', '.join(SETTINGS)}")
        if not (0 < self.gamma < 1 and 0 < self.alpha < 1 and 0 < self.time_limit <= 86_400 and 0 <= self.gap < 1):
            raise AttackError("gamma, alpha and gap lie between 0 and 1, the time limit between 0 and 86400 seconds")
        if not (0.1 <= self.marked_slack <= 2 and 0.1 <= self.natural_slack <= 2):
            raise AttackError("the slacks of stage 2 lie between 0.1 and 2")
        if self.flags is not None and (self.setting != "as2" or not 0 < self.flags[0] <= self.flags[1] <= 1):
            raise AttackError("flags are two rising shares of texts to keep, for the setting as2 only")
        return self


@dataclass(frozen=True)
class Answers:
    """What the detector said of every text: whether marked, and (for oracle-as1) how many distinct items are green."""

    marked: npt.NDArray[np.bool_]
    natural: npt.NDArray[np.bool_]
    marked_green: Ints | None = None
    natural_green: Ints | None = None


def critical_counts(lengths: Ints, gamma: float, alpha: float) -> Ints:
    """The least green count at which the exact binomial test of so many items decides "marked"; length + 1 where none does."""
    found = {}
    for length in np.unique(lengths).tolist():
        low, high = 0, length + 1
        while low < high:
            middle = (low + high) // 2
            if binomial.log_tail(middle, length, gamma) <= math.log(alpha):
                high = middle
            else:
                low = middle + 1
        found[length] = low
    return np.array([found[length] for length in lengths.tolist()], dtype=np.int64)
