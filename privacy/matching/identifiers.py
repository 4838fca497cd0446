"""Numbers with a form of their own: IBAN, US social security numbers, payment cards, and any id that python-stdnum knows.

A hit is the whole number, its characters apart by at most one separator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from privacy.errors import ValueFormatError
from privacy.matching.folding import Span, fold

MAX_ID = 64
_SEPARATOR = r"[ \u00a0./-]?"
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}")
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34
_SSN = re.compile(r"(?<![\d-])\d{3}([- ])\d{2}\1\d{4}(?![\d-])")
_CARD = re.compile(r"(?<![\d+-])\d(?:[ -]?\d){11,18}(?![\d-])")
_NAME = re.compile(r"[a-z]{2}\.[a-z0-9_]{1,20}")


@dataclass(frozen=True)
class IdentifierFormat:
    """A kind of number. `compact` leaves separators out, `is_valid` checks form and check digits."""

    name: str
    compact: Callable[[str], str]
    is_valid: Callable[[str], bool]


def identifier_format(name: str) -> IdentifierFormat:
    """`iban`, `us-ssn`, `payment-card`, or `id:COUNTRY.NAME` as in python-stdnum (`id:es.nif`). Raises ValueFormatError."""
    if name == "iban":
        from stdnum import iban

        return IdentifierFormat(name, iban.compact, iban.is_valid)
    if name == "us-ssn":
        from stdnum.us import ssn

        return IdentifierFormat(name, ssn.compact, ssn.is_valid)
    if name == "payment-card":
        from stdnum import luhn

        return IdentifierFormat(name, _digits, lambda number: 12 <= len(number) <= 19 and luhn.is_valid(number))
    kind, _, which = name.partition(":")
    if kind == "id" and _NAME.fullmatch(which):
        from stdnum.util import get_cc_module

        module: Any = get_cc_module(*which.split("."))
        if module is not None and hasattr(module, "is_valid") and hasattr(module, "compact"):
            return IdentifierFormat(name, module.compact, module.is_valid)
    raise ValueFormatError(f"there is no kind of number {name[:40]!r}; take iban, us-ssn, payment-card or id:COUNTRY.NAME")


def parse_identifier(value: str, form: IdentifierFormat) -> str:
    """The number without separators. Raises ValueFormatError where form or check digits are wrong."""
    text = fold(value).text.strip()
    compact = form.compact(text) if 0 < len(text) <= MAX_ID else ""
    if not compact.isalnum() or not compact.isascii() or not form.is_valid(compact):
        raise ValueFormatError(f"a value is no {form.name}: its form or its check digits are wrong")
    return compact.upper()


def match_identifier(number: str, text: str) -> list[Span]:
    """Where a text gives this number, whole, with or without separators."""
    folded = fold(text)
    pattern = re.compile(r"(?<![A-Za-z0-9])" + _SEPARATOR.join(number) + r"(?![A-Za-z0-9])", re.IGNORECASE)
    return [folded.span(found.start(), found.end()) for found in pattern.finditer(folded.text)]


def find_ibans(text: str) -> Iterator[tuple[Span, str]]:
    """Spans that are an IBAN by form, country and check digits."""
    form = identifier_format("iban")
    folded = fold(text)
    for start in _IBAN_START.finditer(folded.text):
        end, taken = start.start(), ""
        while len(taken) < _LONGEST_IBAN and end < len(folded.text):
            character = folded.text[end]
            if character.isascii() and character.isalnum():
                taken += character.upper()
            elif character not in " -" or not folded.text[end - 1].isalnum():
                break
            end += 1
            whole = end == len(folded.text) or not folded.text[end].isalnum()
            if character.isalnum() and len(taken) >= _SHORTEST_IBAN and whole and form.is_valid(taken):
                yield folded.span(start.start(), end), taken
                break


def find_ssns(text: str) -> Iterator[tuple[Span, str]]:
    """Spans written as a US social security number; nine digits without separators may be anything."""
    return _find(text, _SSN, identifier_format("us-ssn"))


def find_cards(text: str) -> Iterator[tuple[Span, str]]:
    """Spans of 12 to 19 digits with the check digit of payment cards."""
    return _find(text, _CARD, identifier_format("payment-card"))


def _find(text: str, pattern: re.Pattern[str], form: IdentifierFormat) -> Iterator[tuple[Span, str]]:
    folded = fold(text)
    for found in pattern.finditer(folded.text):
        compact = _digits(found.group())
        if form.is_valid(compact):
            yield folded.span(found.start(), found.end()), compact


def _digits(text: str) -> str:
    return re.sub(r"[ \u00a0./-]", "", text)
