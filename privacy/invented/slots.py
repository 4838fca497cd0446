"""Formats of values, and the one law of this package: every value of a format is equally likely.

A format is a product of finite slots (a surname from a list, two digits) and fixed text. Whoever draws a person picks a format by
any law and then a value uniformly; whoever draws nulls reads the format off the value and draws uniformly without replacement
from the rest. Given the format, value and nulls together are then a uniform ordered sample, which is exchangeable: that, and no
more, is what makes the rank of a canary exact (Carlini et al. 2019; `privacy.statistics.ranking`). A general generator of fakes
(Faker) has weighted lists and no inverse, which gives no such law; hence the own, smaller one.
"""

from __future__ import annotations

import functools
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from privacy.errors import PlanError

MAX_COUNT = 1_000_000
HOLE = "\0"
_ENUMERABLE = 20_000
_MOST_MISSES = 100_000
"""In a row: whatever is accepted once in a thousand draws is found before, but for a chance of exp(-100)."""


class Slot(Protocol):
    """`size` different texts, none of them equal to another as the type's matcher compares."""

    @property
    def size(self) -> int: ...

    def text(self, index: int) -> str: ...

    def index(self, text: str) -> int | None:
        """Which of the texts this is, as the matcher compares; None for any other."""
        ...


def style_of(word: str) -> str:
    """`lower`, `upper`, or `title` for everything else."""
    return "lower" if word.islower() else "upper" if word.isupper() and len(word) > 1 else "title"


def apply_style(word: str, style: str) -> str:
    return word.lower() if style == "lower" else word.upper() if style == "upper" else word


@functools.lru_cache(maxsize=64)
def _places(options: tuple[str, ...]) -> dict[str, int]:
    return {option.casefold(): i for i, option in enumerate(options)}


@dataclass(frozen=True)
class Choice:
    """A word of a closed list, in a case style."""

    options: tuple[str, ...]
    style: str = "title"

    @property
    def size(self) -> int:
        return len(self.options)

    def text(self, index: int) -> str:
        return apply_style(self.options[index], self.style)

    def index(self, text: str) -> int | None:
        return _places(self.options).get(text.casefold())


@dataclass(frozen=True)
class Phrase:
    """A pattern of a closed list with a word of another in its hole."""

    patterns: tuple[str, ...]
    words: tuple[str, ...]
    style: str = "title"

    @property
    def size(self) -> int:
        return len(self.patterns) * len(self.words)

    def text(self, index: int) -> str:
        pattern, word = divmod(index, len(self.words))
        return apply_style(self.patterns[pattern].replace(HOLE, self.words[word]), self.style)

    def index(self, text: str) -> int | None:
        return _phrases(self.patterns, self.words).get(text.casefold())


@functools.lru_cache(maxsize=8)
def _phrases(patterns: tuple[str, ...], words: tuple[str, ...]) -> dict[str, int]:
    slot = Phrase(patterns, words)
    return {slot.text(i).casefold(): i for i in range(slot.size)}


@dataclass(frozen=True)
class Numbers:
    """Whole numbers low .. high, in `width` decimal digits."""

    low: int
    high: int
    width: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def text(self, index: int) -> str:
        return f"{self.low + index:0{self.width}}"

    def index(self, text: str) -> int | None:
        if len(text) != self.width or re.fullmatch(r"[0-9]+", text) is None or not self.low <= int(text) <= self.high:
            return None
        return int(text) - self.low


def digits(width: int) -> Numbers:
    """Any `width` digits."""
    return Numbers(0, 10**width - 1, width)


@dataclass(frozen=True)
class Letters:
    """One letter of an alphabet."""

    alphabet: str

    @property
    def size(self) -> int:
        return len(self.alphabet)

    def text(self, index: int) -> str:
        return self.alphabet[index]

    def index(self, text: str) -> int | None:
        at = self.alphabet.lower().find(text.lower()) if len(text) == 1 else -1
        return at if at >= 0 else None


@dataclass(frozen=True)
class Skeleton:
    """Puts characters into the holes of a mask: punctuation stays where it is. Empty mask: no change."""

    mask: str = ""

    def __call__(self, text: str) -> str:
        if not self.mask:
            return text
        characters = iter(text)
        return "".join(next(characters) if c == HOLE else c for c in self.mask)


@dataclass(frozen=True)
class Format:
    """Fixed text and slots in order; then `finish` (check digits), the skeleton, and `accepts`, which may refuse a value."""

    parts: tuple[str | Slot, ...]
    skeleton: Skeleton = Skeleton()
    finish: Callable[[str], str] | None = None
    accepts: Callable[[str], bool] | None = None

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def size(self) -> int:
        """Number of values; where `accepts` is set, no more than that."""
        return math.prod(slot.size for slot in self.slots)

    def text(self, index: int) -> str:
        """The value with this index, whether or not it is accepted."""
        texts: list[str] = []
        for part in reversed(self.parts):
            if isinstance(part, str):
                texts.append(part)
            else:
                index, own = divmod(index, part.size)
                texts.append(part.text(own))
        joined = "".join(reversed(texts))
        return self.skeleton(self.finish(joined) if self.finish is not None else joined)

    def index(self, texts: Sequence[str]) -> int | None:
        """The index of the value with these slot texts; None where one is not of its slot."""
        found = 0
        for slot, text in zip(self.slots, texts, strict=True):
            own = slot.index(text)
            if own is None:
                return None
            found = found * slot.size + own
        return found


@dataclass(frozen=True)
class Read:
    """A format read off a value, and which of its values that is: None if it is none of them (a name of no list)."""

    format: Format
    own: int | None


def draw_value(form: Format, rng: random.Random) -> str:
    """One value, uniformly. Raises PlanError where none is accepted."""
    drawn = list(_accepted(form, rng, set(), 1))
    _check_enough(len(drawn), 1)
    return drawn[0]


def draw_others(read: Read, count: int, rng: random.Random) -> list[str]:
    """`count` values uniformly without replacement, the one read left out. Raises PlanError, which says how many there are."""
    if not 1 <= count <= MAX_COUNT:
        raise PlanError(f"the number of values to draw lies between 1 and {MAX_COUNT}, not {count}")
    form, own = read.format, read.own
    available = form.size - (own is not None)
    _check_enough(available, count)
    if form.accepts is None:
        places = rng.sample(range(available), count) if available <= sys.maxsize else _distinct(rng, available, count)
        return [form.text(place + (own is not None and place >= own)) for place in places]
    used = set() if own is None else {own}
    drawn = list(_accepted(form, rng, used, count))
    _check_enough(len(drawn), count)
    return drawn


def _distinct(rng: random.Random, size: int, count: int) -> Iterator[int]:
    used: set[int] = set()
    while len(used) < count:
        place = rng.randrange(size)
        if place not in used:
            used.add(place)
            yield place


def _accepted(form: Format, rng: random.Random, used: set[int], count: int) -> Iterator[str]:
    """Up to `count` accepted values that are not `used`; fewer where there are no more, or nearly all are refused."""
    found = misses = 0
    for index in _order(form.size, rng):
        if found == count or misses > _MOST_MISSES:
            return
        if index not in used and _is_accepted(form, text := form.text(index)):
            used.add(index)
            found, misses = found + 1, 0
            yield text
        else:
            misses += 1


def _order(size: int, rng: random.Random) -> Iterator[int]:
    """Every index once in random order, or, where they are many, independent ones without end."""
    if size <= _ENUMERABLE:
        yield from rng.sample(range(size), size)
    else:
        while True:
            yield rng.randrange(size)


def _is_accepted(form: Format, text: str) -> bool:
    return form.accepts is None or form.accepts(text)


def _check_enough(available: int, count: int) -> None:
    if available < count:
        raise PlanError(
            f"{count} other values of this format are wanted, {available} were found; take fewer nulls, or another item"
        )
