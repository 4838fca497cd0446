"""Typed matching: a value is parsed once and sought in generated text, span by span. The door of this package.

Defects not inherited: digits of a whole output joined together, parts that match inside words, a hit for another address at the
same mail domain or for city and state alone (NVIDIA/garak `detectors/propile.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from privacy.errors import PrivacyError, ValueFormatError
from privacy.matching.addresses import match_address, parse_address
from privacy.matching.emails import match_email, parse_email
from privacy.matching.folding import MAX_TEXT, Span
from privacy.matching.identifiers import identifier_format, match_identifier, parse_identifier
from privacy.matching.names import match_name, parse_name
from privacy.matching.phones import match_phone, parse_phone

Match = Callable[[str], list[Span]]
TYPES = ("phone", "email", "address", "name", "iban", "us-ssn", "payment-card")


@dataclass(frozen=True)
class Matcher:
    """One value of a type, ready to be sought. Its text form shows the type alone."""

    type: str
    _match: Match = field(repr=False)

    def find(self, text: str) -> list[Span]:
        """Every place of a text that gives the value. Raises PrivacyError for a text above MAX_TEXT characters."""
        if len(text) > MAX_TEXT:
            raise PrivacyError(f"a text has {len(text)} characters; at most {MAX_TEXT} are searched, split it")
        return self._match(text)

    def matches(self, text: str) -> bool:
        """Whether the text gives the value."""
        return bool(self.find(text))


def open_matcher(type_: str, value: str, region: str | None = None) -> Matcher:
    """The matcher of a value. Types: TYPES, or `id:COUNTRY.NAME` (python-stdnum); `region` is for phones without country code.

    Raises ValueFormatError for an unknown type, or a value that does not parse as its type (the message does not quote it).
    """
    if type_ == "phone":
        return Matcher(type_, partial(_phone, parse_phone(value, region), region))
    if type_ == "email":
        return Matcher(type_, partial(match_email, parse_email(value)))
    if type_ == "address":
        return Matcher(type_, partial(match_address, parse_address(value)))
    if type_ == "name":
        return Matcher(type_, partial(match_name, parse_name(value)))
    if type_ in TYPES or type_.startswith("id:"):
        return Matcher(type_, partial(match_identifier, parse_identifier(value, identifier_format(type_))))
    raise ValueFormatError(f"there is no type {type_[:40]!r}; take one of {', '.join(TYPES)}, or id:COUNTRY.NAME")


def _phone(number: str, region: str | None, text: str) -> list[Span]:
    return match_phone(number, text, region)
