"""Whole invented people: decoys, canaries, and the people of planted corpora.

The items of a person are independent of one another and of the name: whatever a prompt says of the person, an item is a uniform
draw from its format.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from privacy.errors import PlanError, ValueFormatError
from privacy.invented.names import PLAIN
from privacy.invented.values import TYPES, invent_value
from privacy.matching.names import parse_name
from privacy.people import Origin, Person

DEFAULT_TYPES = ("phone", "email", "address")
MAX_PEOPLE = PLAIN.size // 2


def draw_person(
    rng: random.Random, id: str, types: Sequence[str] = DEFAULT_TYPES, origin: Origin = Origin.DECOY
) -> Person:  # fmt: skip
    """An invented person with a name and one item of each type (`privacy.invented.values.TYPES`). Raises ValueFormatError."""
    return _draw(rng, id, invent_value("name", rng), types, origin)


def draw_people(
    rng: random.Random, count: int, types: Sequence[str] = DEFAULT_TYPES, taken_names: Collection[str] = (),
    origin: Origin = Origin.DECOY, prefix: str = "decoy",
) -> list[Person]:  # fmt: skip
    """People with different names, none of them in `taken_names` in either order of the words; ids `decoy-0001` and on.

    Items are drawn independently: two people may have the same phone, as with any two draws. Raises ValueFormatError, PlanError.
    """
    if not 0 <= count <= MAX_PEOPLE:
        raise PlanError(f"at most {MAX_PEOPLE} people are invented at once, not {count}")
    taken = {_key(name) for name in taken_names}
    people: list[Person] = []
    while len(people) < count:
        name = invent_value("name", rng)
        if _key(name) in taken:
            continue
        taken.add(_key(name))
        people.append(_draw(rng, f"{prefix}-{len(people) + 1:04}", name, types, origin))
    return people


def _draw(rng: random.Random, id: str, name: str, types: Sequence[str], origin: Origin) -> Person:
    if len(set(types)) != len(types):
        raise ValueFormatError("a type of item is named twice")
    for type_ in types:
        if type_ not in TYPES:
            raise ValueFormatError(f"no value of type {type_[:40]!r} can be invented; take one of {', '.join(TYPES)}")
    return Person(id, {"name": name, **{type_: invent_value(type_, rng) for type_ in types if type_ != "name"}}, origin)


def _key(name: str) -> frozenset[str]:
    try:
        return frozenset(parse_name(name))
    except ValueFormatError:
        return frozenset((name.casefold().strip(),))
