"""The decision-based reward: a bounded score of the probability a reader takes from a text for the true answer.

As published (arXiv 2404.00474, section 4.2, equation of the PPO stage, and the released code):

    log max(f_y, 1e-4) - 5 |1 - sum of the stated f| + 5.

Corrections of the default, each a named member of `RewardRule`:

* An answer the text does not name has no probability of its own: it gets `share` of the mass the text left unstated, never a
  forecast made without the text. The released code scores the truth even where it was not extracted, and normalises over the
  extracted answers alone, so the score and its normaliser disagree.
* A shortfall of the sum is scored, not fined: the unstated mass is a forecast that the truth is another answer. With the fine,
  a text that names one answer does best by stating 100 %, however rarely it is right (`test_reward.py` shows it).
  The fine for a sum above 1 stays; a weight above 1 keeps the score proper (Theorem C.2).
* A text that names no answer gets the lowest reward. Otherwise silence, a forecast of "I cannot tell", would beat every
  overconfident statement, and a policy that starts out overconfident learns to say nothing before it learns to hedge.
* No constant is added: a leave-one-out baseline cancels it.

With the named answers fixed, "log" is strictly proper where no probability meets the bound, and naming a further answer gains
if its share of the unstated mass is more than a few times `share`, so hiding answers does not pay. "brier" is proper
everywhere and needs no bound. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from conformal.linguistic.training.questions import TrainingError, normal_form

FORMS = ("log", "brier", "published")


@dataclass(frozen=True)
class RewardRule:
    """`floor` bounds the logarithm, `share` is the part of the unstated mass an unnamed answer gets, `weight` the fine on the
    sum. Raises TrainingError for members under which the score is not proper."""

    form: str = "log"
    floor: float = 1e-4
    share: float = 1e-2
    weight: float = 5.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise TrainingError(f"the reward must be one of {', '.join(FORMS)}, not {self.form[:20]!r}")
        if not 0.0 < self.floor < self.share < 1.0:
            raise TrainingError("the reward needs 0 < floor < share < 1: otherwise unstated mass is worth nothing, or too much")
        if not 1.0 < self.weight <= 1e3:
            raise TrainingError("the fine on the sum must weigh more than 1 (and at most 1,000), or the score is not proper")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest reward of a text whose stated probabilities sum to at most 1."""
        if self.form == "brier":
            return -2.0, 0.0
        shift = self.weight if self.form == "published" else 0.0
        fine = self.weight if self.form == "published" else 0.0
        return math.log(self.floor) - fine + shift, shift

    def score(self, forecast: Mapping[str, float], answers: Iterable[str]) -> float:
        """The reward of a text that a reader takes `forecast` from (answer to probability), given the accepted answers.

        Raises TrainingError for a probability outside [0, 1] or not finite: a broken reader must not train anything.
        """
        accepted = {normal_form(answer) for answer in answers}
        stated = truth = squares = 0.0
        named = False
        for answer, probability in forecast.items():
            if not 0.0 <= probability <= 1.0:
                raise TrainingError(f"the reader gave {answer[:40]!r} the probability {probability}")
            stated += probability
            squares += probability * probability
            if normal_form(answer) in accepted:
                named, truth = True, truth + probability
        if not forecast and self.form != "published":
            return self.bounds[0]
        if self.form == "brier":
            return -(1.0 - 2.0 * truth + squares)
        if self.form == "published":
            return math.log(max(min(truth, 1.0), self.floor)) - self.weight * abs(1.0 - stated) + self.weight
        reached = min(truth, 1.0) if named else self.share * max(0.0, 1.0 - stated)
        return math.log(max(reached, self.floor)) - self.weight * max(0.0, stated - 1.0)
