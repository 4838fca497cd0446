"""Telephone numbers. Country and area code stay: a rank is about the digits that only the subscriber has.

The numbers kept free for fiction (555-0100 .. 555-0199 in every North American area code) are a format of their own. A hundred of
them an area code is too few, so that here the area code is drawn too.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from privacy.errors import ValueFormatError
from privacy.invented.slots import HOLE, Choice, Format, Numbers, Read, Skeleton, digits
from privacy.invented.words import AREA_CODES
from privacy.matching.phones import parse_phone

_RESERVED = re.compile(r"\+1(\d{3})55501(\d{2})")
_PLAIN = re.compile(r"[+0-9 ()./\u00a0-]{5,40}")
_MASKS = ("ddd-ddd-dddd", "(ddd) ddd-dddd", "ddd.ddd.dddd", "+1 ddd ddd dddd", "+1-ddd-ddd-dddd")
_AREA, _LINE = Choice(AREA_CODES), digits(2)
_SUBSCRIBER_DIGITS = 4


@dataclass(frozen=True)
class _IsValid:
    """Whether the numbering plan has such a number, outside those kept free for fiction."""

    region: str | None

    def __call__(self, value: str) -> bool:
        from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_valid_number, parse

        try:
            number = parse(value, self.region)
        except NumberParseException:
            return False
        return is_valid_number(number) and _RESERVED.fullmatch(format_number(number, PhoneNumberFormat.E164)) is None


def invent(rng: random.Random) -> Format:
    return _reserved(rng.choice(_MASKS).replace("d", HOLE))


def read(value: str, region: str | None) -> Read:
    number = parse_phone(value, region)
    if _PLAIN.fullmatch(value) is None:
        raise ValueFormatError("nulls of a phone number need it in plain digits, without an extension")
    own = _national_digits(number)
    mask, written = re.sub(r"[0-9]", HOLE, value), re.sub(r"[^0-9]", "", value)
    if not written.endswith(own):
        raise ValueFormatError("a phone number is written in a way that hides its national digits; write it as +1 212 555 0100")
    reserved = _RESERVED.fullmatch(number)
    if reserved:
        form = _reserved(_fill(mask, written[:-10]))
        return Read(form, form.index((reserved[1], reserved[2])))
    return _read_subscriber(value, number, own, mask, written, region)


def _read_subscriber(value: str, number: str, own: str, mask: str, written: str, region: str | None) -> Read:
    from phonenumbers import length_of_national_destination_code, parse

    free = max(_SUBSCRIBER_DIGITS, len(own) - length_of_national_destination_code(parse(number, None)))
    if free > len(own):
        raise ValueFormatError("a phone number has too few digits of its own")
    first = 10 ** (free - 1) if own[-free] != "0" else 0  # subscribers' numbers seldom begin with a zero
    slot, accepts = Numbers(first, 10**free - 1, free), _IsValid(region)
    # A number that the plan does not have yet is among others of its length, valid or not.
    form = Format((slot,), Skeleton(_fill(mask, written[:-free])), None, accepts if accepts(value) else None)
    return Read(form, form.index((own[-free:],)))


def _reserved(mask: str) -> Format:
    return Format((_AREA, "55501", _LINE), Skeleton(mask))


def _fill(mask: str, kept: str) -> str:
    """The mask with its first holes filled."""
    for digit in kept:
        mask = mask.replace(HOLE, digit, 1)
    return mask


def _national_digits(number: str) -> str:
    from phonenumbers import national_significant_number, parse

    return str(national_significant_number(parse(number, None)))
