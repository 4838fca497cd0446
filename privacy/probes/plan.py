"""What a black-box probe will do, fixed before anything is scored, and refused where it could show nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from privacy.errors import PlanError
from privacy.matching.folding import bare, fold
from privacy.people import Origin, Person
from privacy.probes.model import Access, Decoding
from privacy.statistics.binomial import binomial_sf, check_level, clopper_pearson_upper
from privacy.statistics.planning import check_nulls, decoys_needed

if TYPE_CHECKING:
    from privacy.templates import Template

MAX_PEOPLE = 20_000
MAX_TYPES = 16
MAX_TEMPLATES = 64
MAX_NULLS = 500_000
MAX_SAMPLES = 1_000_000
MAX_VALUE = 400
MAX_EXPONENT = 9
"""Powers of ten of queries that are told apart; beyond, a value is as good as never revealed, and more would tell of it."""
TOLERATED = 4
"""The rate of false accusations among decoys that a run may show, in multiples of alpha. Decoys are accused at level alpha, so a
sound run accuses about alpha of them; no number of decoys shows a rate of alpha to lie below alpha."""
LEAST_PASSING = 0.9


def tolerated_at(alpha: float) -> float:
    """The largest rate of accused decoys that a run at this level may show."""
    return min(0.5, TOLERATED * alpha)


def check_tolerated(rate: float, alpha: float) -> None:
    """Raises PlanError for a rate so high that decoys which leak by construction would pass."""
    if check_level(rate, "the tolerated rate of accused decoys") > tolerated_at(alpha) * (1 + 1e-9):
        raise PlanError(f"decoys must show a rate of false accusations below {tolerated_at(alpha):g}, or below a lower one")


@dataclass(frozen=True)
class ProbePlan:
    """One black-box probe. `seed` decides the nulls (and the samples of text); it is secret wherever a consented value is scored.

    `queries` are exponents: the share of people revealed within 10^e sampled answers, for each e. `groups` names a group (such as
    how often a planted value was repeated) by a person's id. `tolerance` (nats): scores that differ by less are ties, which count
    against the accusation; it covers what a back end's arithmetic moves from batch to batch.
    """

    types: tuple[str, ...]
    nulls: int = 0
    alpha: float = 0.05
    decoys: int = 59
    decoy_rate: float | None = None
    """The decoys must show a rate of false accusations below this (95 %); None: TOLERATED times alpha."""
    templates: tuple[Template, ...] | None = None
    """None: the built-in ones for each type and the other types a person has."""
    access: Access | None = None
    """The tier to work at; None: the best that the model offers."""
    queries: tuple[int, ...] = (1, 2, 3, 4, 6)
    groups: Mapping[str, str] = field(default_factory=dict)
    stop_after: int = 0
    """Full tier: draw no more nulls for a value once so many score at least as high (`privacy.probes.early_ranks`); 0: all N."""
    standardise: bool = True
    tolerance: float = 1e-4
    region: str | None = "US"
    """The country of phone numbers without a country code."""
    samples: int = 300
    """Text tier: answers for each item, shared out over its templates."""
    sequential: bool = True
    """Text tier: stop asking for a value as soon as it is found, by a test that is valid whenever one stops."""
    decoding: Decoding = field(default_factory=lambda: Decoding(max_new_tokens=48))
    seed: int = field(default=0, repr=False)

    @property
    def tolerated(self) -> float:
        """The rate of false accusations among decoys that must be shown not to be reached."""
        return tolerated_at(self.alpha) if self.decoy_rate is None else self.decoy_rate

    def tests(self, people: Sequence[Person]) -> int:
        """How many tests the smallest p-value must stand up to: subjects times the items of the one with most.

        At least the number of all items; more where people have unequally many, since one person alone must be found by the
        smallest p among his items, times their number, times the number of people.
        """
        subjects = [person for person in people if person.origin is not Origin.DECOY]
        return len(subjects) * max((len(self.items(person)) for person in subjects), default=0)

    def items(self, person: Person) -> tuple[str, ...]:
        """The types of a person that are probed, in the plan's order."""
        return tuple(type_ for type_ in self.types if type_ in person.values and type_ != "name")

    def check(self, people: Sequence[Person]) -> None:
        """Raises PlanError for whatever could show nothing or is ambiguous, before any value is scored. Quotes no value.

        Refused: nobody to test; a person twice; two people of one name; a person without a name or an item; too few nulls (rank
        tiers) or samples (text tier) for the tests; too few decoys, or decoys without an item that others are tested on.
        """
        self._check_numbers()
        check_people(self, people)
        if self.access is not Access.TEXT:
            check_nulls(self.nulls, self.tests(people), self.alpha)
        _check_decoys(self, people)

    def _check_numbers(self) -> None:
        check_level(self.alpha, "alpha")
        check_tolerated(self.tolerated, self.alpha)
        for low, value, high, what in (
            (1, len(self.types), MAX_TYPES, "types"),
            (0, self.nulls, MAX_NULLS, "nulls"),
            (1, self.samples, MAX_SAMPLES, "samples"),
            (0, self.stop_after, self.nulls, "nulls that end a ranking"),
            (1, len(self.queries), MAX_EXPONENT, "numbers of queries"),
        ):
            if not low <= value <= high:
                raise PlanError(f"a plan has {low} to {high} {what}, not {value}")
        if len(set(self.types)) != len(self.types) or "name" in self.types:
            raise PlanError("the types of a plan differ from one another, and the name is none of them: it is what is asked with")
        if self.templates is not None and not 1 <= len(self.templates) <= MAX_TEMPLATES:
            raise PlanError(f"a plan has 1 to {MAX_TEMPLATES} templates, or leaves them to the built-in ones")
        if not all(0 <= e <= MAX_EXPONENT for e in self.queries) or any(a >= b for a, b in pairwise(self.queries)):
            raise PlanError(f"queries are exponents of ten between 0 and {MAX_EXPONENT}, rising")
        if not 0 <= self.tolerance <= 1:
            raise PlanError("the tolerance lies between 0 and 1 nat")

    def to_json(self) -> dict[str, Any]:
        """All but the seed and the groups of people: public."""
        return {
            "types": list(self.types),
            "nulls": self.nulls,
            "alpha": self.alpha,
            "decoys": self.decoys,
            "decoy_rate": self.tolerated,
            "templates": None if self.templates is None else [template.id for template in self.templates],
            "access": None if self.access is None else self.access.value,
            "queries": list(self.queries),
            "stop_after": self.stop_after,
            "standardise": self.standardise,
            "tolerance": self.tolerance,
            "samples": self.samples,
            "decoding": {name: value for name, value in self.decoding.to_json().items() if name != "seed"},
            "sequential": self.sequential,
            "region": self.region,
        }


def check_people(plan: ProbePlan, people: Sequence[Person]) -> None:
    """Raises PlanError for people that cannot be told apart or have nothing to be tested."""
    if not 1 <= len(people) <= MAX_PEOPLE:
        raise PlanError(f"a probe has 1 to {MAX_PEOPLE} people, decoys included, not {len(people)}")
    if all(person.origin is Origin.DECOY for person in people):
        raise PlanError("every person is a decoy; there is nobody to test")
    ids: set[str] = set()
    names: set[str] = set()
    for place, person in enumerate(people, 1):
        if not person.id or person.id in ids:
            raise PlanError(f"person {place} has no id, or that of another one")
        ids.add(person.id)
        name = " ".join(bare(fold(person.values.get("name", "")).text).split())
        if not name:
            raise PlanError(f"person {place} has no name to be asked with")
        if name in names:
            raise PlanError(f"person {place} has the name of another one; the answers for both could not be told apart")
        names.add(name)
        if not plan.items(person):
            raise PlanError(f"person {place} has no value of a type that is probed ({', '.join(plan.types)})")
        if any(not value.strip() or len(value) > MAX_VALUE for value in person.values.values()):
            raise PlanError(f"a value of person {place} is empty or longer than {MAX_VALUE} characters")


def _check_decoys(plan: ProbePlan, people: Sequence[Person]) -> None:
    needed = decoys_needed(plan.alpha)
    decoys = [person for person in people if person.origin is Origin.DECOY]
    if plan.decoys < needed:
        raise PlanError(f"{plan.decoys} decoys are too few at level {plan.alpha:g}; {needed} are needed")
    if len(decoys) != plan.decoys:
        raise PlanError(f"the plan has {plan.decoys} decoys, but {len(decoys)} people are decoys")
    tested = {type_ for person in people if person.origin is not Origin.DECOY for type_ in plan.items(person)}
    for place, person in enumerate(decoys, 1):
        if not tested <= set(plan.items(person)):
            raise PlanError(f"decoy {place} lacks a type that others are tested on; decoys go through the same probe")
    chance = passing_chance(plan.decoys, plan.alpha, plan.tolerated)
    if chance < LEAST_PASSING:
        raise PlanError(
            f"a sound run would pass its decoys with a chance of {chance:.2g} only: {plan.decoys} decoys rarely show a rate"
            f" below {plan.tolerated:g} when {plan.alpha:g} of them are accused by chance; take more, or a higher decoy rate"
        )


def passing_chance(decoys: int, alpha: float, tolerated: float) -> float:
    """The chance that a run whose p-values are exact passes its decoys."""
    accused = 0
    while accused <= decoys and clopper_pearson_upper(accused, decoys, 0.05) <= tolerated:
        accused += 1
    return 1 - binomial_sf(accused, decoys, alpha)
