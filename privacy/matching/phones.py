"""Telephone numbers: phone-shaped spans to E.164 by the phonenumbers library; equality of the whole number (ITU-T E.164).

An area code or the last digits alone are no hit, and digits of different spans are never joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from privacy.errors import ValueFormatError
from privacy.matching.folding import Span, fold

# At most two separators between digits, on one line: "212-555-0142", "+1 (212) 555 0142", "03.93.92.16.85".
_RUN = re.compile(r"(?<![\w+])\+?\(?\d(?:[ \u00a0.()/-]{0,2}\d){5,17}(?![^\Wx])")
_MAX_TRIES = 65_535
_NO_PHONE = re.compile(r"(?<![\d./-])(?:\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?![\d./-])|\d{1,3}(?:\.\d{1,3}){3}(?![\d.]))")
_NAMED = re.compile(r"(?:phone|tel|fax|mobile|cell|call|desk|office|whatsapp)\W{0,8}(?:\w+\W{1,3}){0,2}$", re.IGNORECASE)


def parse_phone(value: str, region: str | None) -> str:
    """The number in E.164. `region` is the ISO 3166 code that numbers without a country code belong to.

    Raises ValueFormatError.
    """
    found = _parse(value, region)
    if found is None:
        where = f"in region {region}" if region else "without a region"
        raise ValueFormatError(f"a phone number does not parse {where}; write it with its country code, as +1 212 555 0100")
    return found


def find_phones(text: str, region: str | None) -> Iterator[tuple[Span, str]]:
    """Phone-shaped spans of a text with their numbers in E.164. Spans of two readings may overlap."""
    from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

    folded = fold(text)
    seen: set[tuple[Span, str]] = set()
    for match in PhoneNumberMatcher(folded.text, region, leniency=Leniency.POSSIBLE, max_tries=_MAX_TRIES):
        seen.add((folded.span(match.start, match.end), format_number(match.number, PhoneNumberFormat.E164)))
    for run in _RUN.finditer(folded.text):
        number = _parse(run.group(), region)
        if number is not None:
            seen.add((folded.span(run.start(), run.end()), number))
    yield from sorted(seen)


def detect_phones(text: str, region: str | None) -> Iterator[tuple[Span, str]]:
    """Spans that are somebody's number: valid in the region, or written as numbers are (a plus, a leading 0 or bracket, three
    groups of digits, or a word for a telephone before them). Dates and IP addresses are left out. Yields the digits."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    folded = fold(text)
    for match in PhoneNumberMatcher(folded.text, region, leniency=Leniency.VALID, max_tries=_MAX_TRIES):
        if not _NO_PHONE.search(match.raw_string):
            yield folded.span(match.start, match.end), match.raw_string
    for run in _RUN.finditer(folded.text):
        written, digits = run.group(), sum(c.isdigit() for c in run.group())
        if not 7 <= digits <= 15 or _NO_PHONE.search(written):
            continue
        named = _NAMED.search(folded.text[max(0, run.start() - 24) : run.start()])
        if named or written[0] in "+(0" or len(re.split(r"\D+", written)) >= 3:
            yield folded.span(run.start(), run.end()), written


def match_phone(number: str, text: str, region: str | None) -> list[Span]:
    """Where a text gives this number, in whatever format."""
    return [span for span, found in find_phones(text, region) if found == number]


def _parse(value: str, region: str | None) -> str | None:
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse

    text = fold(value).text.strip()
    if len(text) > 64:
        return None
    if text.startswith("00"):
        text = "+" + text[2:]
    try:
        number = parse(text, region)
    except NumberParseException:
        return None
    return format_number(number, PhoneNumberFormat.E164) if is_possible_number(number) else None
