"""Text as matchers read it: compatibility forms and invisible characters folded, every character's place remembered."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

# Written between the characters of a value to break a match, or by a tokenizer; they are not seen.
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d")
MAX_TEXT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Folded:
    """`text` and, for every character of it and for its end, the place in the original."""

    text: str
    places: tuple[int, ...] | None

    def span(self, start: int, end: int) -> Span:
        """A stretch of the folded text, as a stretch of the original."""
        if self.places is None:
            return Span(start, end)
        return Span(self.places[start], self.places[end - 1] + 1 if end > start else self.places[start])


@dataclass(frozen=True, order=True)
class Span:
    """Characters [start, end) of a text."""

    start: int
    end: int


def fold(text: str) -> Folded:
    """Fold full-width forms, dashes and spaces; leave out what cannot be seen. Case and accents stay."""
    if text.isascii():
        return Folded(text, None)
    kept: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character in _INVISIBLE:
            continue
        folded = "-" if character in _DASHES else unicodedata.normalize("NFKC", character)
        kept.append(folded if len(folded) == 1 else character)
        places.append(place)
    return Folded("".join(kept), (*places, len(text)))


def bare(word: str) -> str:
    """A word without case and accents, for comparison."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).replace("ł", "l").replace("ø", "o").replace("đ", "d")
