"""Numbers with check digits, which follow from the digits that are drawn. Whose bank, issuer or area it is stays.

IBAN: country and the first four characters of the account's part stay, check digits follow. Payment card: the first six digits
stay, the last is the check digit. US social security number: the first three digits stay. Other ids (python-stdnum): every
letter and digit is drawn until the whole is valid. No number of these kinds is kept free for fiction and parses; invented people
get banks, issuers and areas that were never given out, with names that are nobody's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from privacy.errors import ValueFormatError
from privacy.invented.slots import HOLE, Format, Letters, Read, Skeleton, Slot, digits
from privacy.invented.slots import Numbers as _Numbers
from privacy.matching.identifiers import identifier_format, parse_identifier

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BANK, _ISSUER = 4, 6
_CARD_MASKS = ("dddd dddd dddd dddd", "dddd-dddd-dddd-dddd", "dddddddddddddddd")
_SSN_MASKS = ("ddd-dd-dddd", "ddddddddd")


@dataclass(frozen=True)
class _IsValid:
    kind: str

    def __call__(self, value: str) -> bool:
        form = identifier_format(self.kind)
        return form.is_valid(form.compact(value))


# Countries whose accounts end in, or hold, check digits of two places (start and end in the account's part) that are worth
# computing: by trial, one draw in about a hundred would be valid.
_NATIONAL_CHECKS = {"ES": (8, 10), "BE": (10, 12)}


def _add_iban_checks(text: str) -> str:
    """Country and account without any check digits -> IBAN."""
    from stdnum import iban

    country, account = text[:2], text[2:]
    if country == "ES":
        from stdnum.es import ccc

        account = f"{account[:8]}{ccc.calc_check_digits(account[:8] + '00' + account[8:])}{account[8:]}"
    elif country == "BE":
        account += f"{int(account) % 97 or 97:02}"
    return f"{country}{iban.calc_check_digits(f'{country}00{account}')}{account}"


def _add_luhn(text: str) -> str:
    from stdnum import luhn

    return text + str(luhn.calc_check_digit(text))


def invent_iban(rng: random.Random) -> Format:
    """Germany, with bank codes from 9990 on, which no bank has."""
    mask = rng.choice(("dddd dddd dddd dddd dddd dd", "dddddddddddddddddddddd")).replace("d", HOLE)
    return _iban(f"DE999{rng.randrange(10)}", (digits(14),), mask)


def invent_card(rng: random.Random) -> Format:
    """Issuer numbers from 9999 00 on, of no scheme."""
    mask = rng.choice(_CARD_MASKS).replace("d", HOLE)
    return _card(f"9999{rng.randrange(100):02}", 9, mask)


def invent_ssn(rng: random.Random) -> Format:
    """Areas 870 to 899, never given out while areas meant something (until 2011)."""
    return _ssn(str(rng.randrange(870, 900)), rng.choice(_SSN_MASKS).replace("d", HOLE))


def read_iban(value: str, region: str | None) -> Read:
    number, mask = _parse("iban", value)
    start, end = _NATIONAL_CHECKS.get(number[:2], (len(number), len(number)))
    account = number[4 : 4 + start] + number[4 + end :]
    free = account[_BANK:]
    form = _iban(number[:2] + account[:_BANK], tuple(slot for slot, _ in _runs(free)), mask)
    return Read(form, form.index([text for _, text in _runs(free)]))


def read_card(value: str, region: str | None) -> Read:
    number, mask = _parse("payment-card", value)
    form = _card(number[:_ISSUER], len(number) - _ISSUER - 1, mask)
    return Read(form, form.index((number[_ISSUER:-1],)))


def read_ssn(value: str, region: str | None) -> Read:
    number, mask = _parse("us-ssn", value)
    form = _ssn(number[:3], mask)
    return Read(form, form.index((number[3:5], number[5:])))


def read_id(kind: str, value: str) -> Read:
    number, mask = _parse(kind, value)
    form = Format(tuple(slot for slot, _ in _runs(number)), Skeleton(mask), None, _IsValid(kind))
    return Read(form, form.index([text for _, text in _runs(number)]))


def read_number(value: str, region: str | None) -> Read:
    """Any text with digits: these are drawn, the rest stays. For canaries such as "the number is 281265017"."""
    runs = re.findall(r"[0-9]+", value) if len(value) <= 200 else []
    if not runs or HOLE in value:
        raise ValueFormatError("a number has 1 to 200 characters and at least one digit")
    form = Format((digits(sum(map(len, runs))),), Skeleton(re.sub(r"[0-9]", HOLE, value)))
    return Read(form, form.index(("".join(runs),)))


def invent_number(rng: random.Random) -> Format:
    return Format((digits(9),), Skeleton(rng.choice(("ddddddddd", "ddd ddd ddd", "ddd-ddd-ddd")).replace("d", HOLE)))


def _iban(kept: str, free: tuple[Slot, ...], mask: str) -> Format:
    return Format((kept, *free), Skeleton(mask), _add_iban_checks, _IsValid("iban"))


def _card(issuer: str, free: int, mask: str) -> Format:
    return Format((issuer, digits(free)), Skeleton(mask), _add_luhn)


def _ssn(area: str, mask: str) -> Format:
    return Format((area, _Numbers(1, 99, 2), _Numbers(1, 9999, 4)), Skeleton(mask), None, _IsValid("us-ssn"))


def _parse(kind: str, value: str) -> tuple[str, str]:
    """The number without separators, and a mask of how it is written."""
    number = parse_identifier(value, identifier_format(kind))
    mask = re.sub(r"[A-Za-z0-9]", HOLE, value)
    if re.sub(r"[^A-Za-z0-9]", "", value).upper() != number:
        raise ValueFormatError(f"a value of type {kind} is written in an unusual way; write it in plain letters and digits")
    return number, mask


def _runs(number: str) -> Iterator[tuple[Slot, str]]:
    """Runs of digits, and letters one by one, with the slots that they are drawn from."""
    for run in re.findall(r"[0-9]+|[A-Z]", number):
        yield (digits(len(run)) if run[0].isdecimal() else Letters(_UPPER)), run
