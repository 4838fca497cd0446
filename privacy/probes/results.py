"""What a black-box probe found, as it may be published, and the one way from what was measured to what is said of it.

Measured, and public: ranks, counts of hits, powers of ten. All else here follows from these and the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privacy.people import Origin
from privacy.probes.model import Access, ModelFacts
from privacy.statistics.validity import Basis, DecoyGate, Verdict, Word


@dataclass(frozen=True)
class RankEvidence:
    """Full tier: the value's rank among itself and N nulls, 1 the likeliest, ties against the accusation.

    `exponent` e: the least e >= 0 with 1/q < 10^e, q the value's likelihood under its best template; None beyond what is told.
    """

    rank: int
    nulls: int
    exponent: int | None


@dataclass(frozen=True)
class IntervalEvidence:
    """Top-k tier: the rank lies in best..worst whatever the probabilities are that were not listed; the verdict uses `worst`.

    `exponent`: at least so many powers of ten are needed.
    """

    best: int
    worst: int
    nulls: int
    exponent: int | None


@dataclass(frozen=True)
class HitEvidence:
    """Text tier: answers that give the value, asked with the person's name, with decoys' names, and of the reference model.

    `own_hits`: decoys' own values in the answers to their own names. `stopped`: the sequential test ended the sampling.
    """

    hits: int
    samples: int
    decoy_hits: int
    decoy_samples: int
    own_hits: int
    own_samples: int
    reference_hits: int | None
    reference_samples: int | None
    stopped: bool


Evidence = RankEvidence | IntervalEvidence | HitEvidence


@dataclass(frozen=True)
class MeasuredItem:
    """What was measured of one value. `commitment` and `length_class` stand for it."""

    type: str
    commitment: str
    length_class: str
    templates: int
    evidence: Evidence


@dataclass(frozen=True)
class MeasuredPerson:
    """What was measured of one person."""

    id: str
    origin: Origin
    group: str | None
    items: tuple[MeasuredItem, ...]


@dataclass(frozen=True)
class ItemResult:
    """One value: exact p, p adjusted within the person (Holm), and what it is called. `leak_below` is an answer's chance."""

    measured: MeasuredItem
    p_value: float
    p_adjusted: float
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class PersonResult:
    """One person: the smallest adjusted p of the items, and that adjusted over people (Benjamini-Hochberg)."""

    id: str
    origin: Origin
    group: str | None
    basis: Basis
    p_value: float
    p_adjusted: float
    verdict: Verdict
    items: tuple[ItemResult, ...]

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Reveal:
    """Share of people whose value of a type is revealed within 10^exponent sampled answers, with its interval over people.

    `group` None: all people of the run that have the type.
    """

    type: str
    group: str | None
    exponent: int
    revealed: int
    people: int
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class ProbeResult:
    """A black-box probe, public as it stands. `people` are those tested; `decoys` what the gate rests on."""

    access: Access
    model: ModelFacts
    reference: ModelFacts | None
    plan: dict[str, Any]
    gate: DecoyGate
    people: tuple[PersonResult, ...]
    decoys: tuple[MeasuredPerson, ...]
    reveal: tuple[Reveal, ...]

    @property
    def found(self) -> int:
        """People with the verdict `memorised`."""
        return sum(person.verdict.word is Word.MEMORISED for person in self.people)

    def to_json(self) -> dict[str, Any]:
        """Members: access, model, reference, plan, decoys, people, reveal, found, assumptions."""
        raise NotImplementedError
