"""What an unlearning audit will compare, and within which margins, fixed before a model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from privacy.errors import PlanError
from privacy.statistics.binomial import check_level
from privacy.unlearning import metrics
from privacy.unlearning.rewordings import MAX_REWORDINGS

MAX_STEPS = 10_000
MAX_NEW_TOKENS = 512
MAX_MARGIN = 1000
MARGINS: Mapping[str, float] = {
    metrics.PROBABILITY: 0.1,
    metrics.TRUTH_RATIO: 0.2,
    metrics.RANK: 0.2,
    metrics.ROUGE_GAIN: 0.1,
    metrics.STRENGTH: 0.2,
}


@dataclass(frozen=True)
class Relearning:
    """Both models are tuned on the same `share` of the entities to be forgotten, with the same steps, and compared on the others.

    AdamW; `rate` its constant learning rate, `batch` facts a step.
    """

    share: float = 0.25
    steps: int = 20
    rate: float = 1e-4
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises PlanError."""
        check_level(self.share, "the share of entities that are relearned")
        if not 1 <= self.steps <= MAX_STEPS or not 1 <= self.batch <= 1024 or not 0 < self.rate <= 1:
            raise PlanError(f"relearning takes 1 to {MAX_STEPS} steps of 1 to 1024 facts, at a rate above 0 and up to 1")
        if not 0 <= self.seed < 1 << 63:
            raise PlanError("a seed lies between 0 and 2^63 - 1")


@dataclass(frozen=True)
class UnlearningPlan:
    """`margins`: for every metric the largest difference of means over entities that counts as none, stated beforehand.

    `retain_margins`: the same on what should be kept (None: those of `margins` that need no wrong answers). `rewordings`: how
    many other wordings of each question are asked, 0 for none; `relearning` None: no such attack. Every comparison is made at
    level alpha, and all must be equivalent: no correction for their number is needed (intersection-union). "Not forgotten" is
    said where one is different at alpha divided by their number.
    """

    margins: Mapping[str, float] = field(default_factory=lambda: dict(MARGINS))
    retain_margins: Mapping[str, float] | None = None
    alpha: float = 0.05
    rewordings: int = 4
    relearning: Relearning | None = None
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        """Raises PlanError."""
        check_level(2 * self.alpha, "twice alpha")
        for name, margin in (*self.margins.items(), *self.retained.items()):
            if name not in metrics.METRICS:
                raise PlanError(f"there is no metric {name[:20]!r}; there are {', '.join(metrics.METRICS)}")
            if not 0 < margin < (1 if name in metrics.BOUNDED else MAX_MARGIN):
                raise PlanError(f"the margin of {name} is positive, and below 1 where the metric lies between 0 and 1")
        if not self.margins or not self.retained:
            raise PlanError("an unlearning audit needs the margin of at least one metric, on either set")
        # The mean of a metric without bounds may rest on an entity outside the sample: no interval covers it for every law.
        if not all(set(own) & set(metrics.BOUNDED) for own in (self.margins, self.retained)):
            raise PlanError(f"{metrics.LOG_PROBABILITY} alone shows no equivalence; compare a metric between 0 and 1 as well")
        if not 0 <= self.rewordings <= MAX_REWORDINGS or not 1 <= self.max_new_tokens <= MAX_NEW_TOKENS:
            raise PlanError(f"at most {MAX_REWORDINGS} rewordings, and answers of 1 to {MAX_NEW_TOKENS} tokens")

    @property
    def retained(self) -> Mapping[str, float]:
        """The margins on the retain set."""
        if self.retain_margins is not None:
            return self.retain_margins
        return {name: margin for name, margin in self.margins.items() if name not in metrics.OF_ALTERNATIVES}

    def to_json(self) -> dict[str, Any]:
        return {
            "margins": dict(self.margins),
            "retain_margins": dict(self.retained),
            "alpha": self.alpha,
            "rewordings": self.rewordings,
            "relearning": None if self.relearning is None else asdict(self.relearning),
            "max_new_tokens": self.max_new_tokens,
        }

    @classmethod
    def from_json(cls, content: Any) -> UnlearningPlan:
        """Raises PlanError for what `to_json` would not write."""
        if not isinstance(content, dict) or set(content) != set(cls().to_json()):
            raise PlanError(f"an unlearning plan has the members {', '.join(sorted(cls().to_json()))}")
        attack = content["relearning"]
        if attack is not None:
            names = asdict(Relearning())
            if not isinstance(attack, dict) or set(attack) != set(names):
                raise PlanError(f"a relearning attack has the members {', '.join(sorted(names))}")
            if not all(type(attack[n]) is type(names[n]) for n in names):
                raise PlanError("a member of the relearning attack is of the wrong kind")
        if type(content["alpha"]) is not float or any(type(content[n]) is not int for n in ("rewordings", "max_new_tokens")):
            raise PlanError("alpha is a number, rewordings and max_new_tokens are whole numbers")
        return cls(
            _read_margins(content["margins"]), _read_margins(content["retain_margins"]), content["alpha"], content["rewordings"],
            None if attack is None else Relearning(**attack), content["max_new_tokens"],
        )  # fmt: skip


def _read_margins(content: Any) -> dict[str, float]:
    if not isinstance(content, dict) or len(content) > len(metrics.METRICS):
        raise PlanError("margins are numbers by metric")
    if not all(type(margin) in (int, float) and margin < MAX_MARGIN for margin in content.values()):
        raise PlanError(f"a margin is a number below {MAX_MARGIN}")
    return {str(name): float(margin) for name, margin in content.items()}
