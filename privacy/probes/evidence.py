"""What black-box probes measure of a value at each tier, and the p-value that follows. Public: ranks, counts, powers of ten."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from privacy.errors import PlanError, ScoreError
from privacy.probes.model import Access
from privacy.probes.plan import MAX_EXPONENT, ProbePlan
from privacy.statistics.binomial import clopper_pearson_upper, fisher_p_value

_LN10 = math.log(10)
BOUND_SHARE = 0.5
"""Of the level of one test, what the bound on the rate of chance hits takes before the sequential test begins."""
ALTERNATIVES = (2.0, 8.0, 32.0, 128.0)
"""Rates that the sequential test is strong against, in multiples of the rate of chance hits; equal weights."""


def exponent_of(log_likelihood: float) -> int | None:
    """The least e >= 0 with 1/q < 10^e for q = exp(log_likelihood), None above MAX_EXPONENT.

    All that is told of the likelihood of a consented value: with more digits, whoever has the model finds the value by trying.
    """
    exponent = max(0, math.floor(-log_likelihood / _LN10) + 1) if math.isfinite(log_likelihood) else MAX_EXPONENT + 1
    return exponent if exponent <= MAX_EXPONENT else None


@dataclass(frozen=True)
class RankEvidence:
    """Full tier: the value's rank among itself and `nulls` nulls, 1 the likeliest, ties against the accusation.

    Where a plan stops after h nulls that score at least as high, the rank is h and `nulls` one less than were drawn by then.
    `exponent`: see `exponent_of`, of the likelihood with the best template.
    """

    rank: int
    nulls: int
    exponent: int | None

    def p_value(self, plan: ProbePlan, tests: int) -> float:
        """Rank / (nulls + 1), exact where value and nulls are exchangeable (stopped early: Besag & Clifford 1991)."""
        return self.rank / (self.nulls + 1)

    @property
    def leak_below(self) -> float | None:
        """The chance that an answer sampled at temperature 1 gives the value, with any one of the templates, is below this."""
        return _leak_of(self.exponent)

    def revealed(self, exponent: int) -> tuple[bool, bool]:
        """Whether 10^exponent answers are expected to reveal the value: surely, and possibly."""
        within = self.exponent is not None and self.exponent <= exponent
        return within, within

    def check(self, plan: ProbePlan) -> None:
        """Raises ScoreError for what cannot have been measured by this plan."""
        if plan.stop_after and self.rank == plan.stop_after and self.rank - 1 <= self.nulls < plan.nulls:
            return
        if plan.stop_after and self.rank > plan.stop_after:
            raise ScoreError(f"a value was ranked on after {plan.stop_after} nulls scored at least as high")
        _check_rank(plan, self.nulls, self.rank, self.rank)


@dataclass(frozen=True)
class IntervalEvidence:
    """Top-k tier: the rank lies in best..worst whatever the probabilities are that were not listed.

    `least` and `most`: exponents of the largest and the smallest likelihood that the value can have (None: beyond what is told).
    """

    best: int
    worst: int
    nulls: int
    least: int | None
    most: int | None

    def p_value(self, plan: ProbePlan, tests: int) -> float:
        """p_max: verdicts take the worst rank."""
        return self.worst / (self.nulls + 1)

    @property
    def leak_below(self) -> float | None:
        return _leak_of(self.least)

    def revealed(self, exponent: int) -> tuple[bool, bool]:
        return tuple(e is not None and e <= exponent for e in (self.most, self.least))  # type: ignore[return-value]

    def check(self, plan: ProbePlan) -> None:
        _check_rank(plan, self.nulls, self.best, self.worst)
        if self.most is not None and (self.least is None or self.least > self.most):
            raise ScoreError("the largest likelihood of a value is told to lie below its smallest")


@dataclass(frozen=True)
class HitEvidence:
    """Text tier: answers that give a value. Asked with the person's own name, and three controls that tell what is chance.

    `decoy_*`: the same value in answers about decoys. `own_*`: decoys' own values in answers about them. `reference_*`: the same
    value in answers of the reference model to the same prompts, None without one. `stopped`: sampling ended early.
    """

    hits: int
    samples: int
    decoy_hits: int
    decoy_samples: int
    own_hits: int
    own_samples: int
    reference_hits: int | None = None
    reference_samples: int | None = None
    stopped: bool = False

    @property
    def controls(self) -> tuple[tuple[int, int], ...]:
        """(hits, samples) of each control."""
        found = [(self.decoy_hits, self.decoy_samples), (self.own_hits, self.own_samples)]
        if self.reference_hits is not None and self.reference_samples is not None:
            found.append((self.reference_hits, self.reference_samples))
        return tuple(found)

    def p_value(self, plan: ProbePlan, tests: int) -> float:
        """Sequential plans: `sequential_p_value`. Others: Fisher's exact test, the largest p over the controls."""
        if plan.sequential:
            return sequential_p_value(self, plan.alpha / tests)
        return max(fisher_p_value(self.hits, self.samples, *control) for control in self.controls)

    @property
    def leak_below(self) -> float | None:
        """95 % upper bound of the rate of hits, where there was none at all: one hit is a leak, whatever its rate."""
        return clopper_pearson_upper(0, self.samples, 0.05) if self.hits == 0 else None

    def revealed(self, exponent: int) -> tuple[bool, bool] | None:
        """Nothing is told: rates below one hit in all answers are not seen."""
        return None

    def check(self, plan: ProbePlan) -> None:
        if (self.reference_hits is None) != (self.reference_samples is None):
            raise ScoreError("hits of the reference model need the number of its answers, and the other way round")
        for hits, samples in ((self.hits, self.samples), *self.controls):
            if not 0 <= hits <= samples or samples < 1:
                raise ScoreError("a number of hits is above the number of answers, or there are no answers")
        most = plan.samples * plan.decoys
        if max(self.decoy_samples, self.own_samples) > most or self.reference_samples not in (None, plan.samples):
            raise ScoreError("a control has more answers, or the reference model another number, than were planned")
        if self.samples > plan.samples or (self.samples < plan.samples and not self.stopped):
            raise ScoreError("a value was not asked for as often as planned")
        if self.stopped and not plan.sequential:
            raise ScoreError("sampling stopped early although the plan has no sequential test")


Evidence = RankEvidence | IntervalEvidence | HitEvidence
_KINDS: dict[Access, type[RankEvidence] | type[IntervalEvidence] | type[HitEvidence]] = {
    Access.FULL: RankEvidence,
    Access.TOP_K: IntervalEvidence,
    Access.TEXT: HitEvidence,
}
_MAX_COUNT = 10**9


def sequential_p_value(found: HitEvidence, level: float) -> float:
    """Valid whenever the sampling of the person's answers stops; the controls have a fixed number of answers, taken before.

    x0 is the largest upper bound of the controls' hit rates, each at level d = `level` * BOUND_SHARE. Against "the rate is at
    most x0" stands the mean of the e-processes of `HitMonitor` over ALTERNATIVES, E. P(x0 below the largest rate) <= d and, where
    it is not, P(E >= 1/u at any time) <= u (Ville), so that p = d + 1/E is a p-value for "hit no more often than a control".
    """
    share = level * BOUND_SHARE
    chance = max(clopper_pearson_upper(hits, samples, share) for hits, samples in found.controls)
    if chance >= 1:
        return 1.0
    rates = [min(factor * chance, 1 - (1 - chance) / factor) for factor in ALTERNATIVES]
    misses = found.samples - found.hits
    logs = [found.hits * math.log(q / chance) + misses * (math.log1p(-q) - math.log1p(-chance)) for q in rates]
    top = max(logs)
    log_e = top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))
    return min(1.0, share + math.exp(-max(log_e, 0.0)))


def check_samples(plan: ProbePlan, tests: int, decoys: int) -> None:
    """Raises PlanError where so few answers could show nothing, even if every one of them gave a value."""
    found = HitEvidence(plan.samples, plan.samples, 0, plan.samples * max(1, decoys), 0, plan.samples * max(1, decoys))
    if found.p_value(plan, tests) > plan.alpha / tests:
        raise PlanError(
            f"{plan.samples} answers cannot decide {tests} tests at level {plan.alpha:g}; take more samples, or decoys"
        )


def to_json(evidence: Evidence) -> dict[str, Any]:
    """Its members as they are."""
    return asdict(evidence)


def read_evidence(access: Access, content: Any) -> Evidence:
    """What `to_json` gave. Raises ScoreError."""
    kind = _KINDS[Access.FULL if access is Access.WEIGHTS else access]
    names = set(kind.__dataclass_fields__)
    if not isinstance(content, Mapping) or set(content) != names:
        raise ScoreError(f"what was measured of a value has the members {', '.join(sorted(names))}")
    may_lack = {"exponent", "least", "most", "reference_hits", "reference_samples"}
    for name, value in content.items():
        if name == "stopped":
            fits = type(value) is bool
        else:
            fits = (type(value) is int and 0 <= value <= _MAX_COUNT) or (value is None and name in may_lack)
        if not fits:
            raise ScoreError(f"{name} of what was measured of a value is no count")
        if name in ("exponent", "least", "most") and value is not None and value > MAX_EXPONENT:
            raise ScoreError(f"{name} is an exponent of at most {MAX_EXPONENT}")
    return kind(**content)


def _leak_of(exponent: int | None) -> float:
    return 10.0**-MAX_EXPONENT if exponent is None else min(1.0, 10.0 ** (1 - exponent))


def _check_rank(plan: ProbePlan, nulls: int, best: int, worst: int) -> None:
    if nulls != plan.nulls:
        raise ScoreError(f"a value was ranked among {nulls} nulls; the plan has {plan.nulls}")
    if not 1 <= best <= worst <= nulls + 1:
        raise ScoreError(f"a rank lies outside 1..{nulls + 1}")
