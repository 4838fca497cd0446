"""Who a soft prompt is tuned on and who it is measured on: never the same people; and invented people for the control prompt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from privacy.boundary import split_at_boundary
from privacy.errors import PlanError
from privacy.invented.values import draw_values
from privacy.people import Origin, Person
from privacy.probes.plan import MAX_PEOPLE, ProbePlan
from privacy.probes.targets import templates_of
from privacy.probes.white_box.model import Example, WhiteBoxModel
from privacy.probes.white_box.soft_prompt import Commit, Marks, marks_of

LEAST_TRAINED = 10
LEAST_EVALUATED = 10
_ATTEMPTS = 200


def split_people(people: Sequence[Person], trained: int, seed: int, commit: Commit) -> tuple[list[Person], list[Person]]:
    """About `trained` people to tune on, and the others to measure on; whoever shares a name or a value stays together.

    Groups of such people are taken in random order while they fit. Raises PlanError where too few are left on either side.
    """
    groups = _components([marks_of(person, commit) for person in people])
    order = random.Random(f"split/{seed}").sample(sorted(groups), len(groups))
    chosen: set[int] = set()
    for group in order:
        if len(chosen) + len(groups[group]) <= trained:
            chosen |= set(groups[group])
    parts = [p for i, p in enumerate(people) if i in chosen], [p for i, p in enumerate(people) if i not in chosen]
    if len(parts[0]) < LEAST_TRAINED or len(parts[1]) < LEAST_EVALUATED:
        raise PlanError(
            f"{len(parts[0])} people to tune on and {len(parts[1])} others to measure on are too few; at least {LEAST_TRAINED} "
            f"and {LEAST_EVALUATED} are needed who share no name or value"
        )
    return parts


def _components(marks: Sequence[set[str]]) -> dict[int, list[int]]:
    """People by the first person that they are linked to, through shared marks."""
    owner: dict[str, int] = {}
    parent = list(range(len(marks)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, own in enumerate(marks):
        for mark in own:
            a, b = find(owner.setdefault(mark, i)), find(i)
            parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for i in range(len(marks)):
        groups.setdefault(find(i), []).append(i)
    return groups


def check_trained(people: Sequence[Person], probe: ProbePlan) -> None:
    """Raises PlanError for training subjects that are too few, twice there, without name or item, or decoys."""
    if not LEAST_TRAINED <= len(people) <= MAX_PEOPLE:
        raise PlanError(f"a soft prompt is tuned on {LEAST_TRAINED} to {MAX_PEOPLE} people, not {len(people)}")
    if len({person.id for person in people}) != len(people):
        raise PlanError("two people to tune on have the same id")
    for place, person in enumerate(people, 1):
        if not person.values.get("name", "").strip() or not probe.items(person):
            raise PlanError(f"person {place} to tune on has no name, or no value of a type that is probed")
        if person.origin is Origin.DECOY:
            raise PlanError(f"person {place} to tune on is a decoy; decoys are measured, and no model saw them")


def draw_control(people: Sequence[Person], probe: ProbePlan, avoid: Marks, seed: int, commit: Commit) -> list[Person]:
    """For every person one whom no model saw: name and items of the same types and formats, drawn anew.

    Nobody of them shares a name or value with those in `avoid` (the real training subjects, the people to be measured). Raises
    PlanError where a format has too few values for that.
    """
    rng = random.Random(f"control/{seed}")
    found = []
    for place, person in enumerate(people, 1):
        types = ("name", *probe.items(person), *_said(probe, person))
        values = {type_: _draw(type_, person.values[type_], avoid, rng, commit) for type_ in dict.fromkeys(types)}
        found.append(Person(f"control-{place:04}", values, Origin.DECOY))
    return found


def _said(probe: ProbePlan, person: Person) -> Iterator[str]:
    """Other types that the templates put into prompts."""
    for type_ in probe.items(person):
        for template in templates_of(probe, person, type_):
            yield from template.items


def _draw(type_: str, like: str, avoid: Marks, rng: random.Random, commit: Commit) -> str:
    for _ in range(_ATTEMPTS):
        value = draw_values(type_, like, 1, rng)[0]
        if not marks_of(Person("", {type_: value}), commit) - {commit("mark of an id", "")} & avoid.marks:
            return value
    raise PlanError(f"the format of a value of type {type_} has too few values for invented people of its own")


def build_examples(people: Sequence[Person], probe: ProbePlan, model: WhiteBoxModel) -> list[Example]:
    """Every value of every person after each template that asks for it, as tokens. Raises TemplateError, BoundaryError."""
    found = []
    for number, person in enumerate(people):
        for type_ in probe.items(person):
            for template in templates_of(probe, person, type_):
                context, value = template.render(person), person.values[type_]
                boundary = split_at_boundary(model.tokenize, context, [value], separator=template.separator)
                found.append(Example(number, tuple(boundary.prompt), tuple(boundary.candidates[0])))
    return found
