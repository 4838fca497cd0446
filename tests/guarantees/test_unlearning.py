"""Unlearning audits: "equivalent" is said of models beyond the margin in at most alpha of runs, whatever the law of differences;
and on models with planted memories, one retrained without the people passes where the original does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from audit.runners.planted import PlantedPlan, draw_planted
from privacy.people import Person
from privacy.probes.unlearning import run_unlearning
from privacy.probes.unlearning_plan import Relearning, UnlearningPlan
from privacy.probes.unlearning_results import ATTACKS, FORGET, RELEARNED, REWORDED, Forgetting, UnlearningResult, judge
from privacy.statistics.equivalence import Outcome, paired_equivalence
from privacy.statistics.multiplicity import Floats
from privacy.unlearning.comparison import Differences, compare
from privacy.unlearning.facts import Fact, facts_of
from tests import planted_models
from tests.guarantees.test_privacy_levels import hold

ALPHA, MARGIN = 0.05, 0.2
Law = Callable[[np.random.Generator, int], Floats]
# Differences whose mean is the margin.
LAWS: dict[str, Law] = {
    "normal": lambda rng, n: rng.normal(MARGIN, 0.15, n).clip(-1, 1),
    "one entity in five is remembered wholly": lambda rng, n: (rng.random(n) < MARGIN).astype(float),
    "one in four, the others a little below": lambda rng, n: np.where(rng.random(n) < 0.25, 1.0, -0.2 / 3),
    "one in forty of the others": lambda rng, n: np.where(rng.random(n) < 0.025, -1.0, 0.9 / 3.9),
    "ranks": lambda rng, n: rng.beta(1.4, 0.6, n) - 0.5,
}
SIZES = (12, 25, 60)


def measured(differences: Floats) -> Differences:
    """Between models whose metric lies between 0 and 1."""
    return Differences.measure(np.maximum(differences, 0.0), np.maximum(-differences, 0.0), True)


def wrongly_equivalent(law: Law, n: int) -> Callable[[np.random.Generator], bool]:
    return lambda rng: compare("rank", measured(law(rng, n)), MARGIN, ALPHA).outcome is Outcome.EQUIVALENT


def wrongly_different(law: Law, n: int) -> Callable[[np.random.Generator], bool]:
    return lambda rng: compare("rank", measured(law(rng, n)), MARGIN, ALPHA).outcome is Outcome.DIFFERENT


def wrongly_forgotten(rng: np.random.Generator) -> bool:
    """Three metrics, asked in two ways; one of the six differs by the margin, the others not at all."""
    plan = UnlearningPlan({"rank": MARGIN, "truth-ratio": MARGIN, "extraction-strength": MARGIN}, rewordings=1)
    rows = {(s, m): rng.normal(0, 0.05, 60).clip(-1, 1) for s in (FORGET, REWORDED) for m in plan.margins}
    rows[REWORDED, "rank"] = LAWS["one entity in five is remembered wholly"](rng, 60)
    found = {s: {m: measured(rows[s, m]) for m in plan.margins} for s in (FORGET, REWORDED)}
    return judge(plan, {}, found).verdict is Forgetting.FORGOTTEN


def wrongly_not_forgotten(rng: np.random.Generator) -> bool:
    """All of six differ by the margin: none of them by more."""
    plan = UnlearningPlan({"rank": MARGIN, "truth-ratio": MARGIN, "extraction-strength": MARGIN}, rewordings=1)
    found = {s: {m: measured(LAWS["ranks"](rng, 60)) for m in plan.margins} for s in (FORGET, REWORDED)}
    return judge(plan, {}, found).verdict in (Forgetting.REMEMBERED, Forgetting.UNLIKE)


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", LAWS)
def test_level(name: str, n: int) -> None:
    """At a mean difference equal to the margin, 2,000 runs each: neither word is said more often than alpha."""
    rates = [hold(event(LAWS[name], n), ALPHA, 2000) for event in (wrongly_equivalent, wrongly_different)]
    print(f"\n| {name}, {n} entities: equivalent, different | {rates[0]:.4f} | {rates[1]:.4f} |")


@pytest.mark.guarantee
@pytest.mark.slow
def test_level_of_the_verdict() -> None:
    print(f"\n| one of six metrics at the margin: forgotten | {hold(wrongly_forgotten, ALPHA, 2000):.4f} |")
    print(f"| six metrics at the margin: not forgotten | {hold(wrongly_not_forgotten, ALPHA, 2000):.4f} |")


@pytest.mark.parametrize("name", LAWS)
def test_level_slice(name: str) -> None:
    for event in (wrongly_equivalent, wrongly_different):
        hold(event(LAWS[name], 25), ALPHA, 150, seed=2)


def test_the_measurement_sees_wrong_levels() -> None:
    """A t interval alone calls ten entities equivalent that are, one in five, remembered."""

    def t_interval_alone(rng: np.random.Generator) -> bool:
        found = LAWS["one entity in five is remembered wholly"](rng, 10)
        return paired_equivalence(found, np.zeros(10), MARGIN, ALPHA).outcome is Outcome.EQUIVALENT

    with pytest.raises(AssertionError):
        hold(t_interval_alone, ALPHA, 1000)


# ---------------------------------------------------------------- planted memories

SMALL = PlantedPlan(seed=20260804, people=((40, 40), (1, 6)), heldout=0, types=("phone",), recipe="planted-small")
LARGE = PlantedPlan(seed=20260804, people=((32, 60), (64, 50)), heldout=0, types=("phone",), recipe="planted-small")
MARGINS = {"probability": 0.15, "truth-ratio": 0.2, "rank": 0.25, "rouge-l-gain": 0.15, "extraction-strength": 0.2}


def people_of(plan: PlantedPlan, repetitions: int) -> list[Person]:
    people = draw_planted(plan)
    return [person for person in people.planted if people.repetitions[person.id] == repetitions]


def ids(people: Sequence[Person]) -> list[str]:
    return [person.id for person in people]


def facts(people: Sequence[Person], alternatives: int) -> list[Fact]:
    return list(facts_of(people, alternatives, random.Random(1)))


def audit(plan: UnlearningPlan, forget: list[Fact], retain: list[Fact], *models: PlantedPlan) -> UnlearningResult:
    """`models`: the unlearned one, the reference, the original."""
    from audit.runners.probed_model import RunnerModel
    from privacy.probes.relearning import relearn

    unlearned, reference, original = (RunnerModel(planted_models.runner(one)) for one in models)
    return run_unlearning(plan, forget, retain, unlearned, reference, original, tune=relearn)


def show(name: str, result: UnlearningResult) -> None:
    print(f"\n| {name}: {result.verdict.value}; kept: {result.utility} | margin | mean | deviation | outcome |")
    print("|---|---|---|---|---|")
    for section, rows in result.sections.items():
        for one in rows:
            found = one.differences
            print(f"| {section}, {one.metric} | {one.margin} | {found.mean:.3f} | {found.deviation:.3f} | {one.outcome.value} |")


@pytest.mark.slow
def test_retrained_without_passes_and_the_original_does_not() -> None:
    forget = people_of(SMALL, 40)
    plan = UnlearningPlan({"rank": 0.25, "extraction-strength": 0.2}, {"extraction-strength": 0.2}, rewordings=1)
    asked = facts(forget, 9)
    retrained, reference = SMALL.without(ids(forget)), SMALL.reference()
    assert retrained != reference, "the reference was trained on other texts"
    found = audit(plan, asked, [], retrained, reference, SMALL)
    assert found.verdict is Forgetting.FORGOTTEN, found.reasons
    assert audit(plan, asked, [], SMALL, reference, SMALL).verdict is Forgetting.REMEMBERED
    few = audit(plan, asked[:9], [], retrained, reference, SMALL)
    assert few.verdict is Forgetting.INCONCLUSIVE, "nine entities show nothing"


@pytest.mark.guarantee
@pytest.mark.slow
def test_planted_models_under_every_attack() -> None:
    """60 people of 32 repetitions are to be forgotten, 49 of 64 to be kept; relearning teaches 15 of the 60 to both models."""
    forget, (left_out, *kept) = people_of(LARGE, 32), people_of(LARGE, 64)
    attack = Relearning(rate=1e-3, steps=10)
    plan = UnlearningPlan(MARGINS, {"rank": 0.25, "truth-ratio": 0.2}, rewordings=4, relearning=attack)
    retrained, reference = LARGE.without(ids(forget)), LARGE.without([*ids(forget), left_out.id])
    asked, retained = facts(forget, 19), facts(kept, 19)
    found = audit(plan, asked, retained, retrained, reference, LARGE)
    show("retrained without", found)
    assert set(ATTACKS) <= set(found.sections)
    assert (found.verdict, found.utility) == (Forgetting.FORGOTTEN, Outcome.EQUIVALENT), found.reasons
    remembered = audit(plan, asked, retained, LARGE, reference, LARGE)
    show("the original", remembered)
    assert (remembered.verdict, remembered.utility) == (Forgetting.REMEMBERED, Outcome.EQUIVALENT), remembered.reasons
    for section in (FORGET, REWORDED, RELEARNED):
        assert any(one.outcome is Outcome.DIFFERENT for one in remembered.sections[section]), section


@pytest.mark.guarantee
@pytest.mark.slow
def test_memory_that_was_only_written_over() -> None:
    """The original, tuned for a moment on wrong answers to these questions: whatever hides there, it is not called forgotten."""
    from audit.runners.probed_model import RunnerModel
    from privacy.probes.relearning import relearn

    forget = people_of(LARGE, 32)
    asked = facts(forget, 19)
    original, reference = (RunnerModel(planted_models.runner(one)) for one in (LARGE, LARGE.without(ids(forget))))
    wrong = [original.tokenize(f"{one.context}{one.separator}{one.alternatives[0]}") for one in asked]
    hiding = relearn(original, wrong, Relearning(rate=5e-4, steps=20, batch=8))
    plan = UnlearningPlan(MARGINS, {"rank": 0.25}, rewordings=4, relearning=Relearning(rate=1e-3, steps=10))
    found = run_unlearning(plan, asked, [], hiding, reference, original, tune=relearn)
    show("written over", found)
    assert found.verdict is not Forgetting.FORGOTTEN
