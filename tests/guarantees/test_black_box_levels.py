"""Error rates of the black-box probe over null runs: whole runs from scores, ranks that stop early, gates, sampled text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from privacy.people import Origin
from privacy.probes.evidence import HitEvidence, RankEvidence, sequential_p_value
from privacy.probes.model import Access, ModelFacts
from privacy.probes.plan import ProbePlan
from privacy.probes.results import MeasuredItem, MeasuredPerson, ProbeResult, judge
from privacy.probes.scoring import rank_of
from privacy.statistics.binomial import binomial_sf
from privacy.statistics.validity import Word

ALPHA = 0.05
PLAN = ProbePlan(types=("a", "b"), nulls=199, decoys=59)
FACTS = ModelFacts("m", None, Access.FULL, 0, True, None)
Event = Callable[[np.random.Generator], float]


def rank(rng: np.random.Generator, plan: ProbePlan, gain: float = 0.0) -> int:
    """Two templates of different scale, correlated, rounded into ties, noisy in the last digits; the value drawn like a null."""
    common = rng.normal(size=plan.nulls + 1)
    scores = np.round((common + rng.standard_t(3, size=(2, plan.nulls + 1))) * [[1.0], [30.0]], 1)
    at = int(rng.integers(plan.nulls + 1))
    scores[:, at] += gain
    return rank_of(scores + rng.normal(scale=1e-6, size=scores.shape), at, plan)


def person(rng: np.random.Generator, name: str, origin: Origin, gains: tuple[float, ...]) -> MeasuredPerson:
    items = (
        MeasuredItem(type_, "00", "1-4", 2, RankEvidence(rank(rng, PLAN, gain), PLAN.nulls, None))
        for type_, gain in zip("ab", gains)
    )
    return MeasuredPerson(name, origin, None, tuple(items))


def run(rng: np.random.Generator, known: int, leaky: int = 0) -> ProbeResult:
    """Five people of two items each, `known` of whom have one that the model knows; `leaky` of the decoys are known too."""
    people = [person(rng, f"s{i}", Origin.CONSENTED, (2000.0 * (i < known), 0.0)) for i in range(5)]
    decoys = [person(rng, f"d{i}", Origin.DECOY, (2000.0 * (i < leaky), 0.0)) for i in range(PLAN.decoys)]
    return judge(Access.FULL, FACTS, FACTS, PLAN, [*people, *decoys])


def anyone_is_accused(rng: np.random.Generator) -> bool:
    return run(rng, 0).found > 0


def false_share(rng: np.random.Generator) -> float:
    found = [p.verdict.word is Word.MEMORISED for p in run(rng, 2).people]
    return sum(found[2:]) / max(1, sum(found))


def sound_run_fails_its_decoys(rng: np.random.Generator) -> bool:
    return not run(rng, 0).gate.passes


def leaky_run_passes_its_decoys(rng: np.random.Generator) -> bool:
    """A pipeline that accuses one innocent in four: 12 decoys for certain, the others at the level."""
    return run(rng, 0, leaky=12).gate.passes


def early_rank_is_accused(rng: np.random.Generator) -> bool:
    """Besag & Clifford: the p of a value that is drawn like its nulls, coarse scores."""
    nulls, own, h = np.round(rng.normal(size=199), 1), round(float(rng.normal()), 1), 4
    above = np.flatnonzero(nulls >= own)
    found = RankEvidence(h, int(above[h - 1]), None) if len(above) >= h else RankEvidence(len(above) + 1, 199, None)
    found.check(replace(PLAN, stop_after=h))
    return found.p_value(PLAN, 1) <= ALPHA


def hits_are_accused(rng: np.random.Generator) -> bool:
    """Sampled text, a look after every answer; values are hit as often as those of the worse of two controls."""
    rate = float(rng.choice([0.002, 0.05, 0.4]))
    control = HitEvidence(0, 0, int(rng.binomial(400, rate)), 400, int(rng.binomial(400, rate / 2)), 400)
    hits = np.cumsum(rng.random(150) < rate)
    looks = (replace(control, hits=int(h), samples=n + 1) for n, h in enumerate(hits))
    return any(sequential_p_value(look, ALPHA) <= ALPHA for look in looks)


EVENTS: dict[str, tuple[Event, float]] = {
    "five innocent people of two items: anyone": (anyone_is_accused, ALPHA),
    "two of five known: share of false ones": (false_share, ALPHA),
    "a sound run fails its decoys": (sound_run_fails_its_decoys, ALPHA),
    "a run that accuses 24 % passes its decoys": (leaky_run_passes_its_decoys, ALPHA),
    "a rank that stops early": (early_rank_is_accused, ALPHA),
    "sampled text, 150 looks": (hits_are_accused, ALPHA),
}


def hold(event: Event, level: float, runs: int, seed: int) -> float:
    """The mean of `event` over runs; fails where that is not compatible with at most `level`."""
    rng = np.random.default_rng(seed)
    values = np.array([float(event(rng)) for _ in range(runs)])
    assert binomial_sf(int(np.floor(values.sum())), runs, level) > 1e-3, f"{values.mean():.4f} at level {level}"
    return float(values.mean())


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTS)
def test_level(name: str) -> None:
    event, level = EVENTS[name]
    print(f"\n| black box: {name} | {hold(event, level, 1000, 20260803):.4f} |")


@pytest.mark.parametrize("name", EVENTS)
def test_level_slice(name: str) -> None:
    event, level = EVENTS[name]
    hold(event, level, 40, 1)


def test_known_people_are_found() -> None:
    rng = np.random.default_rng(3)
    found = [run(rng, 2) for _ in range(10)]
    assert sum(p.verdict.word is Word.MEMORISED for one in found for p in one.people[:2]) >= 18
