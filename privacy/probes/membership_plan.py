"""What a membership run will do, fixed before any score is seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from privacy.errors import PlanError
from privacy.membership.rates import check_resolution
from privacy.membership.records import Role
from privacy.probes.plan import LEAST_PASSING, TOLERATED, passing_chance
from privacy.statistics.binomial import check_level
from privacy.statistics.planning import check_nulls, decoys_needed

ASSIGNMENTS = ("coins", "declared")
MAX_TOKENS = 100_000
MAX_SCORES, MAX_LEVELS = 16, 8
_SHARED = re.compile(r"(min-k|min-k\+\+):(0\.[0-9]{1,4}|1)")
_PLAIN = ("loss", "zlib", "reference", "rmia")
CALIBRATED = ("reference", "rmia")
"""Scores relative to a reference model."""


@dataclass(frozen=True)
class MembershipPlan:
    """`scores`: `loss`, `zlib`, `min-k:SHARE`, `min-k++:SHARE`, `reference`, `rmia`. Verdicts rest on the first alone; the
    others are described. `fpr`: the false-positive rates at which members are counted.

    `assignment`: `coins` where the auditor decided by independent coins which records were trained on; `declared` where somebody
    says which were. `shift_alpha`: the level at which controls that never ask the model show that roles differ in their texts.
    Texts are cut at `max_tokens` tokens.
    """

    scores: tuple[str, ...] = ("loss", "zlib", "min-k:0.2")
    fpr: tuple[float, ...] = (0.01, 0.05)
    alpha: float = 0.05
    shift_alpha: float = 0.05
    assignment: str = "declared"
    max_tokens: int = 512
    dataset: bool = True
    rmia_gamma: float = 1.0
    rmia_offline_a: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises PlanError."""
        if not 0 < len(self.scores) <= MAX_SCORES or len(set(self.scores)) != len(self.scores):
            raise PlanError(f"a plan has 1 to {MAX_SCORES} scores, none of them twice")
        for name in self.scores:
            if name not in _PLAIN and share_of(name) is None:
                raise PlanError(f"there is no score {name[:20]!r}; there are {', '.join(_PLAIN)}, min-k:SHARE and min-k++:SHARE")
        if not 0 < len(self.fpr) <= MAX_LEVELS or len(set(self.fpr)) != len(self.fpr):
            raise PlanError(f"a plan has 1 to {MAX_LEVELS} false-positive rates, none of them twice")
        for level in (*self.fpr, self.alpha, self.shift_alpha):
            check_level(level)
        if self.assignment not in ASSIGNMENTS:
            raise PlanError(f"the assignment is one of {', '.join(ASSIGNMENTS)}")
        if not 2 <= self.max_tokens <= MAX_TOKENS:
            raise PlanError(f"texts are cut at 2 to {MAX_TOKENS} tokens")
        if not self.rmia_gamma > 0 or not 0 <= self.rmia_offline_a <= 1:
            raise PlanError("gamma of RMIA is positive, its offline a lies between 0 and 1")
        if not 0 <= self.seed < 1 << 63:
            raise PlanError("a seed lies between 0 and 2^63 - 1")

    @property
    def primary(self) -> str:
        return self.scores[0]

    @property
    def tolerated(self) -> float:
        """The rate of false accusations among decoys that must be shown not to be reached."""
        return min(0.5, TOLERATED * self.alpha)

    def check_counts(self, counts: Mapping[Role, int], references: int) -> None:
        """Whether so many records and reference models can decide anything, before a model is asked. Raises PlanError."""
        nulls, members, candidates = (counts.get(r, 0) for r in (Role.NON_MEMBER, Role.MEMBER, Role.CANDIDATE))
        if nulls < 1 or members + candidates < 1:
            raise PlanError("membership needs non-members, and members or candidates")
        if any(name in CALIBRATED for name in self.scores) and references < 1:
            raise PlanError("the scores reference and rmia need a reference model")
        if "rmia" in self.scores and counts.get(Role.POPULATION, 0) < 1:
            raise PlanError("the score rmia needs records of the role population")
        if members:
            for level in self.fpr:
                check_resolution(nulls // 2, level, "half of the non-members")
        if candidates:
            check_nulls(nulls, candidates, self.alpha)
            self._check_decoys(counts.get(Role.DECOY, 0))

    def _check_decoys(self, decoys: int) -> None:
        needed = decoys_needed(self.alpha)
        if decoys < needed or passing_chance(decoys, self.alpha, self.tolerated) < LEAST_PASSING:
            raise PlanError(
                f"{decoys} decoys cannot show that fewer than {self.tolerated:g} of innocent records are accused; at least"
                f" {needed} records of the candidates' source that were certainly not trained on are needed"
            )

    def to_json(self) -> dict[str, Any]:
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

    @classmethod
    def from_json(cls, content: Any) -> MembershipPlan:
        """Raises PlanError for what `to_json` would not write."""
        names = {f.name for f in fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            raise PlanError(f"a membership plan has the members {', '.join(sorted(names))}")
        try:
            default = cls()
            typed = {n: _typed(content[n], getattr(default, n)) for n in names}
        except (TypeError, ValueError, OverflowError):
            raise PlanError("a member of the membership plan is of the wrong kind") from None
        return cls(**typed)


def _typed(value: Any, like: Any) -> Any:
    """The value, if it is of the kind of `like`."""
    if isinstance(like, tuple):
        if not isinstance(value, list) or len(value) > 64:
            raise TypeError
        return tuple(_typed(one, like[0]) for one in value)
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if type(value) is not type(like):
        raise TypeError
    return value


def share_of(name: str) -> float | None:
    """The share of tokens in the name of a Min-K score; None for another score."""
    found = _SHARED.fullmatch(name)
    if found is None or not float(found[2]) > 0:
        return None
    return float(found[2])
