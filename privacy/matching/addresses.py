"""Postal addresses: house number and street, and beside them the city or the postcode, compared word by word.

City and state alone are no hit, nor is the street with another city, nor another house number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from privacy.errors import ValueFormatError
from privacy.matching.folding import Span, bare, fold

MAX_ADDRESS = 400
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_HOUSE = re.compile(r"\d{1,6}[a-z]?")
_POSTCODE = re.compile(r"(?=[a-z0-9]*\d)[a-z0-9]{3,10}")
_SHORT = {
    "st": "street", "str": "street", "rd": "road", "ave": "avenue", "av": "avenue", "blvd": "boulevard", "dr": "drive",
    "ln": "lane", "ct": "court", "pl": "place", "sq": "square", "hwy": "highway", "pkwy": "parkway", "ter": "terrace",
    "n": "north", "s": "south", "e": "east", "w": "west",
}  # fmt: skip
# What may stand between a street and its city, but for numbers: the flat, and words that join.
_BETWEEN = frozenset(
    (
        "apt",
        "apartment",
        "unit",
        "suite",
        "ste",
        "flat",
        "floor",
        "fl",
        "no",
        "number",
        "room",
        "rm",
        "in",
        "of",
        "the",
        "city",
        "town",
    )
)
_BEFORE = frozenset(("at", "in", "on", "the", "number", "no"))
_MAX_BETWEEN = 6


@dataclass(frozen=True)
class Address:
    """Words in comparable form. At least one of `city` and `postcode` is not empty."""

    house: str
    street: tuple[str, ...]
    city: tuple[str, ...]
    postcode: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    text: str
    start: int
    end: int


def parse_address(value: str) -> Address:
    """An address written on one line or several: street with house number, then city, state and postcode, set apart by commas or
    line breaks. Raises ValueFormatError."""
    if not 0 < len(value) <= MAX_ADDRESS:
        raise ValueFormatError(f"an address has 1 to {MAX_ADDRESS} characters")
    parts = [[word.text for word in _words(part)] for part in re.split(r"[,\n;]", fold(value).text)]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        raise ValueFormatError("an address needs commas between street and city, as in 12 Elm Road, Springfield, IL 62701")
    house, street = _split_street(parts[0])
    rest = [part for part in parts[1:] if not _is_flat(part)]
    city = tuple(word for word in rest[0] if not any(c.isdigit() for c in word)) if rest else ()
    postcode = _find_postcode(rest)
    if not city and not postcode:
        raise ValueFormatError("an address needs a city or a postcode after the street")
    return Address(house, street, city, postcode)


def match_address(address: Address, text: str) -> list[Span]:
    """Where a text gives house number and street of this address together with its city or postcode."""
    folded = fold(text)
    words = _words(folded.text)
    plain = [word.text for word in words]
    hits = []
    for order in ((address.house, *address.street), (*address.street, address.house)):
        for at in _occurrences(plain, order):
            if not _stands_alone(folded.text, words, at, len(order)):
                continue
            place = _place(address, plain, at, at + len(order))
            if place is not None:
                first, last = min(at, place[0]), max(at + len(order), place[1])
                hits.append(folded.span(words[first].start, words[last - 1].end))
    return sorted(set(hits))


def _words(text: str) -> list[_Word]:
    found = []
    for word in _WORD.finditer(text):
        plain = bare(word.group())
        found.append(_Word(_SHORT.get(plain, plain), word.start(), word.end()))
    return found


def _split_street(part: list[str]) -> tuple[str, tuple[str, ...]]:
    """House number and street of the first line, whichever comes first."""
    if len(part) > 1 and _HOUSE.fullmatch(part[0]) and not part[1][0].isdigit():
        return part[0], tuple(part[1:])
    numbers = [i for i, word in enumerate(part) if i and _HOUSE.fullmatch(word)]
    if numbers:
        return part[numbers[-1]], tuple(part[: numbers[-1]])
    raise ValueFormatError("an address needs a house number before or after the street")


def _is_flat(part: list[str]) -> bool:
    return part[0] in _BETWEEN and len(part) <= 3


def _find_postcode(parts: list[list[str]]) -> tuple[str, ...]:
    """The last run of words with digits: 62701, or SW1A 1AA."""
    for part in reversed(parts):
        run = [word for word in part if _POSTCODE.fullmatch(word)]
        if run and sum(map(len, run)) >= 4:
            return tuple(run[-2:])
    return ()


def _occurrences(words: list[str], wanted: tuple[str, ...]) -> list[int]:
    size = len(wanted)
    return [i for i in range(len(words) - size + 1) if words[i] == wanted[0] and tuple(words[i : i + size]) == wanted]


def _stands_alone(text: str, words: list[_Word], at: int, size: int) -> bool:
    """The words stand together on a line or two, and the house number is no part of a longer number (1,012 or 10-12)."""
    first, last = words[at], words[at + size - 1]
    before, after = text[max(0, first.start - 2) : first.start], text[last.end : last.end + 2]
    if re.search(r"\d[-.,/]$", before) or re.match(r"[-./]\d", after):
        return False
    gaps = (text[left.end : right.start] for left, right in zip(words[at : at + size - 1], words[at + 1 : at + size]))
    return all(len(gap) <= 4 and not re.search(r"[!?;:()]|\.\s", gap.replace(". ", " ", 1)) for gap in gaps)


def _place(address: Address, words: list[str], start: int, end: int) -> tuple[int, int] | None:
    """Words [a, b) of the city or the postcode next to the street, with nothing between that could be another place."""
    for wanted in (address.city, address.postcode):
        if not wanted:
            continue
        for at in range(end, min(end + _MAX_BETWEEN, len(words) - len(wanted)) + 1):
            if tuple(words[at : at + len(wanted)]) == wanted and all(_joins(address, w) for w in words[end:at]):
                return at, at + len(wanted)
        for at in range(start - len(wanted), max(-1, start - len(wanted) - _MAX_BETWEEN), -1):
            between = words[at + len(wanted) : start]
            if (
                at >= 0
                and tuple(words[at : at + len(wanted)]) == wanted
                and all(w in _BEFORE or w in address.postcode for w in between)
            ):
                return at, at + len(wanted)
    return None


def _joins(address: Address, word: str) -> bool:
    """Words between street and city: of a flat, numbers, and for a postcode the city itself and a state's two letters."""
    return (
        word in _BETWEEN or word in address.city or word in address.postcode or any(c.isdigit() for c in word) or len(word) <= 2
    )
