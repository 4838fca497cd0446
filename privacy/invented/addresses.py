"""Postal addresses. House number and street are drawn; the kind of street, the flat, city, state and postcode stay, as many share
them and a rank is about the house."""

from __future__ import annotations

import random
import re

from privacy.errors import ValueFormatError
from privacy.invented.slots import Choice, Format, Letters, Numbers, Read, Slot, apply_style, style_of
from privacy.invented.words import FREE_ZIPS, STATES, STREET_TYPES, SURNAMES, TOWNS
from privacy.matching.addresses import parse_address

_FIRST = re.compile(r"([^,\n;]*)(.*)", re.DOTALL)
_HOUSE_FIRST = re.compile(r"(\s*)([0-9]{1,6})([A-Za-z]?)(\s+)(.*\S)(\s*)", re.DOTALL)
_HOUSE_LAST = re.compile(r"(\s*)(\S.*?)(\s+)([0-9]{1,6})([A-Za-z]?)(\s*)", re.DOTALL)
_WAY = "road|rd|street|st|avenue|ave|av|boulevard|blvd|drive|dr|lane|ln|court|ct|place|pl|square|sq|terrace|ter|way|close|hill"
_ENDS = re.compile(
    r"(?P<stem>\S.*?)(?P<end>\s+(?:" + _WAY + r")\.?|stra(?:ß|ss)e|str\.|weg|gasse|allee|platz|gatan|straat|vej)",
    re.IGNORECASE,
)
_BEGINS = re.compile(
    r"(?P<begin>(?:(?:rue|avenue|boulevard|place|calle|avenida|plaza|via|viale|piazza|rua|ulica|ul\.)\s+(?:(?:de|du|des|la|le|del|della"
    r"|di|da|do|dos)\s+){0,2}))(?P<stem>\S.*)",
    re.IGNORECASE,
)
_HOUSE_LETTERS = "abcdefgh"


def invent(rng: random.Random) -> Format:
    house = _house(rng.choice("123") * rng.choice((2, 3, 4)))
    town, place = rng.choice(TOWNS), f"{rng.choice(STATES)} {rng.choice(FREE_ZIPS)}{rng.randrange(100):02}"
    return Format((house, " ", Choice(SURNAMES), f" {rng.choice(STREET_TYPES)}, {town}, {place}"))


def read(value: str, region: str | None) -> Read:
    parse_address(value)
    first = _FIRST.fullmatch(value)
    assert first is not None  # any text matches
    line, rest = first[1], first[2]
    if found := _HOUSE_FIRST.fullmatch(line):
        house, letter = _house(found[2]), _letter(found[3])
        begin, stem, end = _street(found[5])
        parts = (found[1], house, *letter, found[4] + begin, _stem(stem), end + found[6] + rest)
        texts = (found[2], *found[3], stem)
    elif found := _HOUSE_LAST.fullmatch(line):
        house, letter = _house(found[4]), _letter(found[5])
        begin, stem, end = _street(found[2])
        parts = (found[1] + begin, _stem(stem), end + found[3], house, *letter, found[6] + rest)
        texts = (stem, found[4], *found[5])
    else:
        raise ValueFormatError(
            "nulls of an address need its first line as house number and street, as in 12 Elm Road, Springfield"
        )
    form = Format(tuple(part for part in parts if part != ""))
    return Read(form, form.index(texts))


def _house(number: str) -> Numbers:
    """Numbers with as many digits; a leading zero stands for none."""
    width = len(number)
    return Numbers(0 if number[0] == "0" else 10 ** (width - 1), 10**width - 1, width)


def _letter(letter: str) -> tuple[Slot, ...]:
    if not letter:
        return ()
    alphabet = _HOUSE_LETTERS if letter.lower() in _HOUSE_LETTERS else "abcdefghijklmnopqrstuvwxyz"
    return (Letters(apply_style(alphabet, "upper" if letter.isupper() else "lower")),)


def _stem(stem: str) -> Choice:
    return Choice(SURNAMES, style_of(stem))


def _street(street: str) -> tuple[str, str, str]:
    """What stays before, the name, what stays after."""
    if found := _ENDS.fullmatch(street):
        return "", found["stem"], found["end"]
    if found := _BEGINS.fullmatch(street):
        return found["begin"], found["stem"], ""
    return "", street, ""
