"""Full tier, many people: nulls are drawn until it is plain that a value is not unusual (Besag & Clifford 1991, Biometrika 78).

Nulls come one after the other. Once h of them score at least as high as the value, p = h/l for the l drawn so far; where that
never happens, p = (g + 1)/(N + 1) after all N, g < h of which did. Both are exact where value and nulls are exchangeable. People
whom the model does not know, nearly all as a rule, then cost some h (1 + ln(N/h)) nulls instead of N.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privacy.errors import BoundaryError, PlanError
from privacy.invented.values import draw_values
from privacy.probes.evidence import RankEvidence, exponent_of
from privacy.probes.model import ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.scoring import SPREADS, score_splits
from privacy.probes.targets import Candidates, Target, split_all
from privacy.statistics.scores import Floats, calibrate

FIRST_STAGE = 32
SCALE_NULLS = 64
"""Further nulls that only tell the scale of each template: what ranks are taken by must not change as nulls are added."""
_MAD_OF_NORMAL = 0.6744897501960817


def rank_until_plain(
    plan: ProbePlan,
    targets: Sequence[Target],
    model: ProbedModel,
    reference: ProbedModel | None,
    progress: Progress | None = None,
) -> list[RankEvidence]:
    """The rank of each target among as many nulls as it takes. Raises what `rank_targets` raises."""
    found = []
    for place, target in enumerate(targets):
        found.append(_Ranking(plan, target, model, reference).run(progress and _part(progress, place, len(targets))))
    return found


def _part(progress: Progress, place: int, parts: int) -> Progress:
    return lambda share, text: progress((place + share) / parts, text)


@dataclass(frozen=True)
class _Scale:
    """Median and spread of every template (K x 1), from nulls that are not ranked."""

    middle: Floats
    spread: Floats

    def join(self, scores: Floats) -> Floats:
        """The statistic of each candidate: the maximum over templates (K x n to n)."""
        return np.asarray(((scores - self.middle) / self.spread).max(axis=0), dtype=np.float64)


class _Ranking:
    """One target. Every stage scores the value again among new nulls, so that both meet the same arithmetic."""

    def __init__(self, plan: ProbePlan, target: Target, model: ProbedModel, reference: ProbedModel | None) -> None:
        self.plan, self.target, self.model, self.reference = plan, target, model, reference
        self._rng = random.Random(f"{plan.seed}/{target.person.id}/{target.type}")
        self._drawn: set[str] = set()
        self._prompts: list[list[tuple[int, ...]]] = []

    def run(self, progress: Progress | None) -> RankEvidence:
        plan, standardises = self.plan, self.plan.standardise and len(self.target.templates) > 1
        scale, exponent = self._scale(self._draw(SCALE_NULLS if standardises else 0))
        slack = max(1 / SPREADS, plan.tolerance) if standardises and plan.tolerance else plan.tolerance
        drawn = beaten = 0
        size = FIRST_STAGE
        while drawn < plan.nulls:
            part = self._draw(min(plan.nulls - drawn, size))
            scores, at, exponent = self._score(part)
            joined = scale.join(scores)
            above = np.delete(joined, at) >= joined[at] - slack
            wanted = plan.stop_after - beaten
            if int(above.sum()) >= wanted:
                last = drawn + int(np.flatnonzero(above)[wanted - 1]) + 1
                return RankEvidence(plan.stop_after, last - 1, exponent)
            beaten, drawn, size = beaten + int(above.sum()), drawn + len(part), size * 2
            if progress is not None:
                progress(drawn / plan.nulls, f"ranked a value among {drawn} nulls")
        return RankEvidence(beaten + 1, plan.nulls, exponent)

    def _draw(self, count: int) -> list[str]:
        """More nulls, none drawn before: what is left of a longer draw of different values is uniform among the others."""
        if not count:
            return []
        wanted = count + len(self._drawn)
        values = draw_values(self.target.type, self.target.value, wanted, self._rng, self.plan.region)
        new = [value for value in values if value not in self._drawn][:count]
        if len(new) != count:
            raise PlanError(f"{len(new)} nulls of the type {self.target.type} were drawn where {count} are needed")
        self._drawn.update(new)
        return new

    def _scale(self, values: Sequence[str]) -> tuple[_Scale, int | None]:
        count = len(self.target.templates)
        if not values:
            return _Scale(np.zeros((count, 1)), np.ones((count, 1))), None
        scores, at, exponent = self._score(values)
        others = np.delete(scores, at, axis=1)
        middle = np.median(others, axis=1, keepdims=True)
        spread = np.median(np.abs(others - middle), axis=1, keepdims=True) / _MAD_OF_NORMAL
        return _Scale(middle, np.where(spread > SPREADS * self.plan.tolerance, spread, 1.0)), exponent

    def _score(self, nulls: Sequence[str]) -> tuple[Floats, int, int | None]:
        """Scores (templates x candidates) of the value and these nulls, the value's place, and its exponent."""
        at = self._rng.randrange(len(nulls) + 1)
        candidates = Candidates(at, (*nulls[:at], self.target.value, *nulls[at:]))
        logs, lengths = self._logs(self.model, candidates, 0)
        exponent = exponent_of(float(logs[:, at].max()))
        if self.reference is None:
            return logs, at, exponent
        return calibrate(logs, self._logs(self.reference, candidates, 1)[0], lengths), at, exponent

    def _logs(self, model: ProbedModel, candidates: Candidates, who: int) -> tuple[Floats, Floats]:
        splits = list(split_all(model, self.target, candidates))
        prompts = [prompt for prompt, _ in splits]
        if len(self._prompts) <= who:
            self._prompts.append(prompts)
        if self._prompts[who] != prompts:
            raise BoundaryError(
                "the boundary between prompt and value differs from null to null; rank this type among all nulls at once"
                " (stop_after 0)"
            )
        return score_splits(model, splits), np.array([[len(tail) for tail in tails] for _, tails in splits], dtype=np.float64)
