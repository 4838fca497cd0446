"""Names of persons. Titles, initials and particles stay; given names and surnames are drawn, each in its case."""

from __future__ import annotations

import random
import re

from privacy.invented.slots import Choice, Format, Read, Slot, style_of
from privacy.invented.words import GIVEN_NAMES, SURNAMES
from privacy.matching.names import parse_name

_PARTS = re.compile(r"([^\W\d_]+(?:['’][^\W\d_]+)*)")
_TITLES = frozenset(("mr", "mrs", "ms", "miss", "dr", "prof", "sir", "herr", "frau", "mme", "jr", "sr"))
_PARTICLES = frozenset(("van", "von", "der", "den", "de", "la", "le", "di", "da", "dos", "du", "del", "bin", "al", "ter", "zu"))
PLAIN = Format((Choice(GIVEN_NAMES), " ", Choice(SURNAMES)))


def invent(rng: random.Random) -> Format:
    return PLAIN


def read(value: str, region: str | None) -> Read:
    parse_name(value)
    return read_words(value)


def read_words(value: str) -> Read:
    """A name whose form was checked: the last word, or those before a comma, is a surname, and what a hyphen joins to it."""
    pieces = _PARTS.split(value)  # text and words by turns
    drawn = [i for i in range(1, len(pieces), 2) if _is_drawn(pieces[i])]
    surnames = _surnames(pieces, drawn)
    parts: list[str | Slot] = []
    for i, piece in enumerate(pieces):
        if i in drawn:
            parts.append(Choice(SURNAMES if i in surnames else GIVEN_NAMES, style_of(piece)))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece:
            parts.append(piece)
    form = Format(tuple(parts))
    return Read(form, form.index([pieces[i] for i in drawn]))


def _is_drawn(word: str) -> bool:
    return len(word) > 1 and word.casefold() not in _TITLES and not (word.islower() and word in _PARTICLES)


def _surnames(pieces: list[str], drawn: list[int]) -> set[int]:
    before_comma = [i for i in drawn if any("," in piece for piece in pieces[i + 1 :: 2]) and "," not in "".join(pieces[:i])]
    if before_comma and len(before_comma) < len(drawn):
        return set(before_comma)
    found = set(drawn[-1:])
    for i in reversed(drawn[:-1]):
        if pieces[i + 1] == "-" and i + 2 in found:
            found.add(i)
    return found
