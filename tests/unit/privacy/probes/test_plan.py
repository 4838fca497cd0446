"""What a plan refuses before anything is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privacy.errors import PlanError
from privacy.people import Origin, Person
from privacy.probes.model import Access
from privacy.probes.plan import ProbePlan, passing_chance
from tests.unit.privacy.probes.scored_model import decoys, invent, plan_for

PEOPLE = [*invent(3, Origin.CONSENTED, "subject"), *decoys()]


def changed(place: int, **changes: object) -> list[Person]:
    return [replace(p, **changes) if i == place else p for i, p in enumerate(PEOPLE)]  # type: ignore[arg-type]


def valued(place: int, **values: str) -> list[Person]:
    kept = {name: value for name, value in {**PEOPLE[place].values, **values}.items() if value != "-"}
    return changed(place, values=kept)


def test_a_sound_plan_passes() -> None:
    plan_for(PEOPLE).check(PEOPLE)


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (PEOPLE[3:], "nobody to test"),
        ([], "1 to"),
        (changed(1, id="subject-0"), "has no id, or that of another"),
        (changed(1, id=""), "has no id"),
        (valued(1, name=PEOPLE[0].values["name"].upper()), "name of another"),
        (valued(1, name="  "), "no name"),
        (valued(1, name="-"), "no name"),
        (valued(1, phone="-"), "no value of a type"),
        (valued(1, phone=" "), "empty or longer"),
        (valued(1, phone="5" * 500), "empty or longer"),
        (PEOPLE[:-1], "the plan has 59 decoys, but 58"),
        (valued(10, phone="-", email="a@mail.example"), "no value of a type"),
    ],
)  # fmt: skip
def test_people_that_are_refused(people: list[Person], message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        plan_for(PEOPLE).check(people)
    assert not any(value in str(caught.value) for person in PEOPLE for value in person.values.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nulls": 58}, "58 nulls cannot decide 3 tests"),
        ({"decoys": 58}, "59 are needed"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"types": ()}, "types"),
        ({"types": ("phone", "phone")}, "differ"),
        ({"types": ("phone", "name")}, "name"),
        ({"templates": ()}, "templates"),
        ({"queries": (2, 1)}, "rising"),
        ({"queries": ()}, "queries"),
        ({"queries": (50,)}, "exponents"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"samples": 0}, "samples"),
        ({"decoy_rate": 0.06}, "a sound run would pass its decoys"),
    ],
)  # fmt: skip
def test_numbers_that_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_for(PEOPLE, **changes).check(PEOPLE)


def test_decoys_have_all_that_others_are_tested_on() -> None:
    people = [replace(PEOPLE[0], values={**PEOPLE[0].values, "email": "a@mail.example"}), *PEOPLE[1:]]
    with pytest.raises(PlanError, match="decoy 1 lacks a type"):
        plan_for(people, types=("phone", "email"), nulls=500).check(people)


def test_unequal_people_need_nulls_for_the_one_with_most() -> None:
    """Five people, one of them with three items: he alone can be found only by p <= alpha / 15, not alpha / 7."""
    extra = {"email": "a@mail.example", "iban": "DE00 0000"}
    people = [*invent(5, Origin.CANARY, "subject"), *[replace(d, values={**d.values, **extra}) for d in decoys()]]
    people[0] = replace(people[0], values={**people[0].values, **extra})
    plan = ProbePlan(types=("phone", "email", "iban"), nulls=298)
    assert plan.tests(people) == 15
    with pytest.raises(PlanError, match="299"):
        plan.check(people)
    replace(plan, nulls=299).check(people)


def test_text_needs_no_nulls() -> None:
    plan_for(PEOPLE, nulls=0, access=Access.TEXT).check(PEOPLE)


def test_a_sound_run_passes_its_decoys() -> None:
    """With the 59 decoys of alpha 5 %: up to 6 accused; P(Bin(59, .05) <= 6) = .973."""
    assert passing_chance(59, 0.05, 0.2) == pytest.approx(0.9726, abs=1e-3)
    assert passing_chance(59, 0.05, 0.05) < 0.05


def test_seed_and_groups_are_not_told() -> None:
    plan = plan_for(PEOPLE, seed=918273, groups={"subject-0": "twice"})
    assert "918273" not in repr(plan) and "918273" not in str(plan.to_json()) and "twice" not in str(plan.to_json())
