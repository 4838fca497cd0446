"""Family relations and affiliations: whatever the person's own is, the others are drawn from one closed list."""

from __future__ import annotations

import random
import re

from privacy.errors import ValueFormatError
from privacy.invented import names
from privacy.invented.slots import Choice, Format, Phrase, Read, apply_style, style_of
from privacy.invented.words import AFFILIATIONS, RELATIONS, TOWNS
from privacy.matching.names import parse_name

MAX_LENGTH = 200
_RELATION = re.compile(r"(?P<relation>[^\W\d_]+(?:-[^\W\d_]+){0,2})(?P<join>:? (?:of |to )?)(?P<name>.+)")


def invent_family(rng: random.Random) -> Format:
    return Format((Choice(RELATIONS, "lower"), " of ", *names.PLAIN.parts))


def invent_affiliation(rng: random.Random) -> Format:
    return Format((Phrase(AFFILIATIONS, TOWNS),))


def read_family(value: str, region: str | None) -> Read:
    """`sister of Mara Quillfold`, `sister`, or the name alone."""
    _check(value)
    if Choice(RELATIONS).index(value) is not None:
        form = Format((Choice(RELATIONS, style_of(value)),))
        return Read(form, form.index((value,)))
    found = _RELATION.fullmatch(value)
    if found is None or Choice(RELATIONS).index(found["relation"]) is None:
        return names.read(value, region)
    parse_name(found["name"])
    name, relation = names.read_words(found["name"]), found["relation"]
    kinship = Choice(tuple(map(str.capitalize, RELATIONS)) if relation.istitle() else RELATIONS, style_of(relation))
    form, own = Format((kinship, found["join"], *name.format.parts)), kinship.index(relation)
    return Read(form, None if own is None or name.own is None else own * name.format.size + name.own)


def read_affiliation(value: str, region: str | None) -> Read:
    """Any name of an organisation; the list has schools and universities of invented towns."""
    _check(value)
    form = Format((Phrase(AFFILIATIONS, TOWNS, style_of(value)),))
    return Read(form, form.index((apply_style(value, "title"),)))


def _check(value: str) -> None:
    if not 0 < len(value.strip()) <= MAX_LENGTH or not value.isprintable():
        raise ValueFormatError(f"a family relation or an affiliation is a text of 1 to {MAX_LENGTH} characters on one line")
