"""What should have been forgotten, or kept: questions with their true and wrong answers, each belonging to an entity."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from privacy.errors import PlanError, ScoreError
from privacy.invented.values import draw_values
from privacy.people import Person
from privacy.templates import Template, builtin_templates

MAX_FACTS = 100_000
MAX_TEXT = 10_000
MAX_ALTERNATIVES = 10_000


@dataclass(frozen=True)
class Fact:
    """One question. Facts of one entity are one piece of evidence: what is compared are means over an entity's facts.

    The answer follows the context after the separator. `alternatives` are wrong answers of the same format; `rewordings` are
    other contexts that ask for the same. Printing one shows no text.
    """

    entity: str = field(repr=False)
    context: str = field(repr=False)
    answer: str = field(repr=False)
    alternatives: tuple[str, ...] = field(default=(), repr=False)
    rewordings: tuple[str, ...] = field(default=(), repr=False)
    separator: str = " "


def check_facts(facts: Sequence[Fact], what: str, alternatives: bool) -> None:
    """Raises PlanError and ScoreError, naming a fact by its place only."""
    if not 0 < len(facts) <= MAX_FACTS:
        raise PlanError(f"the {what} has 1 to {MAX_FACTS} facts, not {len(facts)}")
    seen: dict[tuple[str, str], int] = {}
    for place, one in enumerate(facts):
        texts = (one.context, one.answer, *one.alternatives, *one.rewordings)
        if not one.entity or not all(text.strip() and len(text) <= MAX_TEXT for text in texts):
            raise ScoreError(f"fact {place} of the {what}: every text has 1 to {MAX_TEXT} characters, and the entity a name")
        if alternatives and not 0 < len(one.alternatives) <= MAX_ALTERNATIVES:
            raise PlanError(f"fact {place} of the {what} needs 1 to {MAX_ALTERNATIVES} wrong answers of the same format")
        if one.answer in one.alternatives or len(set(one.alternatives)) != len(one.alternatives):
            raise ScoreError(f"fact {place} of the {what}: the wrong answers differ from one another and from the true one")
        if (one.context, one.answer) in seen:
            raise ScoreError(f"facts {seen[one.context, one.answer]} and {place} of the {what} are the same")
        seen[one.context, one.answer] = place


def facts_of(
    people: Sequence[Person], alternatives: int, rng: random.Random, templates: Sequence[Template] | None = None
) -> Iterator[Fact]:
    """A fact for every item of every person: asked by the first template of its type, reworded by the others.

    `templates` None: the built-in ones that name the person alone. Wrong answers are generated in the value's own format. Raises
    PlanError where a type has no template, and what `Template.render` and `draw_values` raise.
    """
    for person in people:
        for type_ in person.types:
            known = builtin_templates(type_, ()) if templates is None else templates
            ways = [one for one in known if one.target == type_]
            if not ways:
                raise PlanError(f"there is no template for the type {type_}")
            asked = list(dict.fromkeys(way.render(person) for way in ways if way.separator == ways[0].separator))
            wrong = tuple(draw_values(type_, person.values[type_], alternatives, rng))
            yield Fact(person.id, asked[0], person.values[type_], wrong, tuple(asked[1:]), ways[0].separator)
