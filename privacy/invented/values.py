"""Values of the same type and format as a given one: the nulls of a rank. The door of this package, with `people`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from privacy.errors import PrivacyError, ValueFormatError
from privacy.invented import addresses, emails, identifiers, names, phones, unstructured
from privacy.invented.slots import Format, Read, draw_others
from privacy.invented.slots import draw_value as _draw
from privacy.invented.words import DOMAINS, FREE_ZIPS, TOWNS
from privacy.matching.phones import parse_phone

_READERS: dict[str, Callable[[str, str | None], Read]] = {
    "name": names.read,
    "phone": phones.read,
    "email": emails.read,
    "address": addresses.read,
    "iban": identifiers.read_iban,
    "us-ssn": identifiers.read_ssn,
    "payment-card": identifiers.read_card,
    "family": unstructured.read_family,
    "affiliation": unstructured.read_affiliation,
    "number": identifiers.read_number,
}
_INVENTORS: dict[str, Callable[[random.Random], Format]] = {
    "name": names.invent,
    "phone": phones.invent,
    "email": emails.invent,
    "address": addresses.invent,
    "iban": identifiers.invent_iban,
    "us-ssn": identifiers.invent_ssn,
    "payment-card": identifiers.invent_card,
    "family": unstructured.invent_family,
    "affiliation": unstructured.invent_affiliation,
    "number": identifiers.invent_number,
}
TYPES = tuple(_INVENTORS)


def read_format(type_: str, like: str, region: str | None = "US") -> Read:
    """The format of a value. Types: TYPES, or `id:COUNTRY.NAME`. Raises ValueFormatError; no message quotes the value."""
    if type_.startswith("id:"):
        return identifiers.read_id(type_, like)
    if type_ not in _READERS:
        raise ValueFormatError(f"there is no type {type_[:40]!r}; take one of {', '.join(TYPES)}, or id:COUNTRY.NAME")
    if "\0" in like:
        raise ValueFormatError(f"a value of type {type_} holds a NUL character")
    return _READERS[type_](like, region)


def is_invented(type_: str, value: str) -> bool:
    """Whether `invent_value` could have given this value: of the closed lists, and in a space that is nobody's, if the type has
    one. What is not was not drawn by this generator, whoever says so."""
    try:
        read = read_format(type_, value)
        return read.own is not None and _NOBODYS.get(type_, lambda value: True)(value)
    except PrivacyError:
        return False


def _is_nobodys_place(value: str) -> bool:
    parts = value.split(", ")
    return len(parts) == 3 and parts[1] in TOWNS and parts[2][3:6] in FREE_ZIPS


_NOBODYS: dict[str, Callable[[str], bool]] = {
    "phone": lambda value: re.fullmatch(r"\+1[0-9]{3}55501[0-9]{2}", parse_phone(value, "US")) is not None,
    "email": lambda value: value.rpartition("@")[2] in DOMAINS,
    "address": _is_nobodys_place,
    "iban": lambda value: value[:2] == "DE" and re.sub(r"\W", "", value)[4:7] == "999",
    "payment-card": lambda value: re.sub(r"\D", "", value)[:4] == "9999",
    "us-ssn": lambda value: 870 <= int(re.sub(r"\D", "", value)[:3]) < 900,
}


def draw_values(type_: str, like: str, count: int, rng: random.Random, region: str | None = "US") -> list[str]:
    """`count` different values of the format of `like`, none of them equal to it as the type's matcher compares.

    What stays of `like` (punctuation, case, country, area code, mail domain, city, bank) is said in the module of the type. Every
    other value of the format is equally likely, which is the law of `draw_person` given the format: a canary of that law and its
    nulls are exchangeable. Nulls of a consented value are drawn from a seed that is never published. A null may happen to be
    somebody's number: nulls are neither kept nor shown. Raises ValueFormatError (`like` does not parse; `region` is for phones
    without a country code), PlanError (the format has fewer than count + 1 values).
    """
    return draw_others(read_format(type_, like, region), count, rng)


def invent_value(type_: str, rng: random.Random) -> str:
    """A value of an invented person: a format by the law of its type, then a value of the format uniformly."""
    if type_ not in _INVENTORS:
        raise ValueFormatError(f"no value of type {type_[:40]!r} can be invented; take one of {', '.join(TYPES)}")
    return _draw(_INVENTORS[type_](rng), rng)
