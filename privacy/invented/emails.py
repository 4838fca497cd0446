"""E-mail addresses. The domain stays: it is shared by many, and a rank is about the local part.

Words of the local part become invented names, digits other digits of the same number (a year of birth another year). The local
part is drawn independently of the person's name: were it made of the name, a model would guess it, and a rank would show nothing.
"""

from __future__ import annotations

import random
import re

from privacy.invented.slots import Choice, Format, Letters, Numbers, Read, Slot, digits, style_of
from privacy.invented.words import DOMAINS, GIVEN_NAMES, SURNAMES
from privacy.matching.emails import parse_email

_RUNS = re.compile(r"[^\W\d_]+|[0-9]+|(?:[^\w]|_|[^\W0-9_])+?")
_GIVEN, _SURNAME, _LETTER = Choice(GIVEN_NAMES, "lower"), Choice(SURNAMES, "lower"), Letters("abcdefghijklmnopqrstuvwxyz")
_PATTERNS: tuple[tuple[str | Slot, ...], ...] = (
    (_GIVEN, ".", _SURNAME),
    (_GIVEN, "_", _SURNAME),
    (_GIVEN, "-", _SURNAME),
    (_LETTER, ".", _SURNAME),
    (_GIVEN, ".", _SURNAME, digits(2)),
)
_YEARS = Numbers(1940, 2009, 4)


def invent(rng: random.Random) -> Format:
    return Format((*rng.choice(_PATTERNS), "@" + rng.choice(DOMAINS)))


def read(value: str, region: str | None) -> Read:
    parse_email(value)
    local, _, domain = value.rpartition("@")
    runs = _RUNS.findall(local)
    words = [i for i, run in enumerate(runs) if len(run) > 1 and run.isalpha()]
    lonely = not any(i not in words and run.isalpha() for i, run in enumerate(runs)) and len(words) == 1
    parts: list[str | Slot] = []
    texts = []
    for i, run in enumerate(runs):
        slot = _slot(run, last=bool(words) and i == words[-1], lonely=lonely)
        if slot is not None:
            parts.append(slot)
            texts.append(run)
        elif parts and isinstance(parts[-1], str):
            parts[-1] += run
        else:
            parts.append(run)
    form = Format((*parts, "@" + domain))
    return Read(form, form.index(texts))


def _slot(run: str, last: bool, lonely: bool) -> Slot | None:
    if run.isascii() and run.isdecimal():
        return _YEARS if len(run) == 4 and _YEARS.index(run) is not None else digits(len(run))
    if not run.isalpha():
        return None
    if len(run) == 1:
        return Letters(_LETTER.alphabet.upper() if run.isupper() else _LETTER.alphabet)
    options = GIVEN_NAMES + SURNAMES if lonely else SURNAMES if last else GIVEN_NAMES
    return Choice(options, style_of(run))
