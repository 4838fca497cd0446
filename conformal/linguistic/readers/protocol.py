"""What every reader gives: a distribution over the answer options, or no answer and the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from conformal.errors import ConformalError

SUM_TOLERANCE = 1e-6


class ReaderError(ConformalError):
    """A reader broke its contract: a distribution of the wrong length, a probability out of range, a sum that is not 1."""


@dataclass(frozen=True)
class Case:
    """One question to be answered from one text; `options` are the possible answers, at least two, all different."""

    id: str
    text: str
    question: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """`distribution` has one probability an option and sums to 1; None is a non-answer, and `reason` says why in a few words.

    `notes` count what a convention decided on the way ("plain assertion", "rescaled"), one word group each.
    """

    distribution: tuple[float, ...] | None
    reason: str = ""
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """A declared reader. `name` identifies it with its version and every setting that changes what it reads."""

    @property
    def name(self) -> str: ...

    def read(self, cases: Sequence[Case]) -> list[Reading]:
        """One reading a case, in order. Never raises for a text it cannot read: that is a non-answer."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What the report prints: name, settings, digests of prompts."""
        ...


def check_distribution(values: Sequence[float], options: int, where: str) -> tuple[float, ...]:
    """The same as finite floats in [0, 1] that sum to 1 exactly as far as floats go. Raises ReaderError that names `where`."""
    if len(values) != options:
        raise ReaderError(f"{where}: {len(values)} probabilities for {options} answer options")
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
            raise ReaderError(f"{where}: {str(value)[:40]!r} is no probability")
        found.append(float(value))
    total = math.fsum(found)
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise ReaderError(f"{where}: the probabilities sum to {total:.9g}, not 1")
    return tuple(value / total for value in found)


def read_checked(reader: Reader, cases: Sequence[Case]) -> list[Reading]:
    """What the reader gives, held to its contract. Raises ReaderError."""
    readings = reader.read(cases)
    if len(readings) != len(cases):
        raise ReaderError(f"the reader {reader.name} gave {len(readings)} readings for {len(cases)} questions")
    checked = []
    for case, reading in zip(cases, readings):
        if reading.distribution is None:
            checked.append(reading if reading.reason else Reading(None, "no reason given", reading.notes))
            continue
        where = f"the reader {reader.name}, question {case.id[:60]!r}"
        found = check_distribution(reading.distribution, len(case.options), where)
        checked.append(Reading(found, "", reading.notes))
    return checked
