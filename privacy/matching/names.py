"""Names of persons: given name and surname side by side, in either order; initials between them are optional."""

from __future__ import annotations

import re
from itertools import pairwise

from privacy.errors import ValueFormatError
from privacy.matching.folding import Span, bare, fold

MAX_NAME = 200
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TITLES = frozenset(("mr", "mrs", "ms", "miss", "dr", "prof", "sir", "herr", "frau", "mme", "jr", "sr"))


def parse_name(value: str) -> tuple[str, ...]:
    """Given names and surnames, compared without case and accents. Raises ValueFormatError for fewer than two."""
    words = [bare(word) for word in _WORD.findall(fold(value).text[:MAX_NAME])]
    names = tuple(word for word in words if len(word) > 1 and word not in _TITLES)
    if len(names) < 2:
        raise ValueFormatError("a name needs a given name and a surname")
    return names


def match_name(names: tuple[str, ...], text: str) -> list[Span]:
    """Where a text gives the whole name: all names one after the other, initials left out or added, or surname first."""
    folded = fold(text)
    found = [(bare(word.group()), word.start(), word.end()) for word in _WORD.finditer(folded.text)]
    words = [entry for entry in found if len(entry[0]) > 1]
    orders = {names, (names[-1], *names[:-1])}
    hits = []
    for at in range(len(words) - len(names) + 1):
        part = words[at : at + len(names)]
        if tuple(entry[0] for entry in part) in orders and _are_near(folded.text, part):
            hits.append(folded.span(part[0][1], part[-1][2]))
    return hits


def _are_near(text: str, part: list[tuple[str, int, int]]) -> bool:
    """Between the names stand spaces, hyphens, a comma, or initials, not the end of a sentence."""
    gaps = (text[left[2] : right[1]] for left, right in pairwise(part))
    return all(re.fullmatch(r"(?:[\s,-]*|[\s,]*(?:[^\W\d_]\.?[\s]*){1,3})", gap) and len(gap) <= 16 for gap in gaps)
