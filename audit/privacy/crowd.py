"""Whom an audit asks about: subjects who signed for their values, or canaries, people whom the owner of the model drew with the
generator of the nulls before it was trained. Values are opened in memory alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.privacy.consents import IDENTITY, NAME, check_consents, read_consents
from audit.privacy.records import Record, Records
from audit.service_kinds import Resources
from privacy.consent import Consent, Guard
from privacy.errors import ConsentError, PrivacyError
from privacy.invented.values import is_invented
from privacy.people import Origin, Person
from privacy.probes.plan import MAX_PEOPLE

CANARIES = (
    "the people are canaries: drawn with the generator of the nulls before the model was trained, by the word of whoever owns the"
    " model's registration; their ranks are exact if that is so"
)


@dataclass(frozen=True)
class Crowd:
    """One group of people. `group` begins the ids by which reports call them, and names the group of records.

    `documents` are the consents as the request carries them; `canaries` how many there are where nobody signed, with `types`.
    """

    group: str
    documents: tuple[Any, ...] = ()
    consents: tuple[Consent, ...] = ()
    canaries: int = 0
    types: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the consents."""
        return tuple(consent.digest for consent in self.consents)

    @property
    def condition(self) -> str:
        """What an outcome about these people rests on."""
        return IDENTITY if self.consents else CANARIES

    def ids(self) -> Iterator[str]:
        """What reports call them, in order."""
        return (f"{self.group}-{number}" for number in range(1, (len(self.consents) or self.canaries) + 1))

    def shapes(self) -> list[tuple[str, ...]]:
        """The types of every person's items, name left out, without their values."""
        if not self.consents:
            return [self.types] * self.canaries
        return [tuple(item.type for item in consent.items if item.type != NAME) for consent in self.consents]


def read_crowd(fields: Fields, group: str, consents: str, count: str) -> Crowd:
    """Take the parameter `consents`, or `count` with `types` for canaries. Raises RequestError."""
    documents, number = fields.take(consents), fields.take(count)
    if (documents is None) is (number is None):
        raise RequestError(f"name whom to ask about: params.{consents}, or params.{count} with params.records for canaries")
    if documents is not None:
        found = read_consents(documents, f"params.{consents}")
        return Crowd(group, tuple(documents), found)
    if type(number) is not int or not 1 <= number <= MAX_PEOPLE:
        raise RequestError(f"params.{count} must be an integer from 1 to {MAX_PEOPLE}: how many canaries the records hold")
    return Crowd(group, canaries=number)


@dataclass(frozen=True)
class Subjects:
    """People with the guards of those who signed, for one run. Printing shows no value."""

    people: tuple[Person, ...]
    guards: Mapping[str, Guard] = field(repr=False)

    def release(self, type_: str, value: str) -> str:
        """The commitment of a consented value that may be scored now, once. Raises ConsentError."""
        for person in self.people:
            if person.id in self.guards and person.values.get(type_) == value:
                return self.guards[person.id].release(type_, value)
        raise ConsentError(f"a value of type {type_[:40]} is covered by no consent of this audit")

    @property
    def values(self) -> tuple[str, ...]:
        """Every value, for screening what leaves the run."""
        return tuple(value for person in self.people for value in person.values.values())


def open_crowds(crowds: Sequence[Crowd], resources: Resources, records: Records | None, model_digest: str) -> Subjects:
    """Open the values of all groups together. Raises AuditError without a value."""
    people: list[Person] = []
    guards: dict[str, Guard] = {}
    groups = {} if records is None else records.take(*(crowd.group for crowd in crowds))
    for crowd in crowds:
        if records is not None:
            people += _canaries(crowd, groups[crowd.group])
            continue
        for id_, consent in zip(crowd.ids(), crowd.consents):
            openings = resources.open_openings(consent.digest)
            try:
                guards[id_] = Guard(consent, openings, model_digest, datetime.now(UTC))
            except PrivacyError as error:
                raise RequestError(f"{id_}: {error}") from None
            people.append(Person(id_, dict(openings.values), Origin.CONSENTED))
    if guards:
        _refuse_shared(people)
    return Subjects(tuple(people), guards)


def _refuse_shared(people: Sequence[Person]) -> None:
    """A value belongs to one consent: which of two would cover it could not be told."""
    seen: set[tuple[str, str]] = set()
    for person in people:
        own = set(person.values.items())
        if shared := sorted({type_ for type_, _ in own & seen}):
            raise RequestError(f"two subjects share a value of type {shared[0]}; ask about them in audits of their own")
        seen |= own


def _canaries(crowd: Crowd, records: Sequence[Record]) -> Iterator[Person]:
    if len(records) != crowd.canaries:
        raise RequestError(f"the group {crowd.group} holds {len(records)} people, the request speaks of {crowd.canaries}")
    wanted = {NAME, *crowd.types}
    for id_, record in zip(crowd.ids(), records):
        if isinstance(record, str) or set(record) != wanted or not all(isinstance(value, str) for value in record.values()):
            raise RequestError(f"{id_} of the records must be a person: texts for {', '.join(sorted(wanted))}, nothing else")
        values = {name: str(record[name]) for name in (NAME, *crowd.types)}
        if real := sorted(type_ for type_ in crowd.types if not is_invented(type_, values[type_])):
            raise RequestError(
                f"{id_} is no canary: its {real[0]} is none that the generator of nulls draws; values of real people need consent"
            )
        yield Person(id_, values, Origin.CANARY)


def check_crowd(crowd: Crowd, types: Sequence[str], people: Sequence[Any]) -> int:
    """That exactly these people's items of these types were measured; how many items. Raises EvidenceError.

    `people` have `id`, `origin` and `items`, each with `measured` (type, commitment, length_class).
    """
    if [person.id for person in people] != list(crowd.ids()):
        raise EvidenceError("the people of the result are not those of the request, in their order")
    origin = Origin.CONSENTED if crowd.consents else Origin.CANARY
    for place, (shape, person) in enumerate(zip(crowd.shapes(), people)):
        found = [(one.measured.type, one.measured.commitment, one.measured.length_class) for one in person.items]
        asked = sorted(type_ for type_ in shape if type_ in types)
        if person.group is not None or person.origin is not origin or sorted(type_ for type_, _, _ in found) != asked:
            raise EvidenceError(f"what was measured of {person.id} is not what the request covers")
        if crowd.consents:
            items = {(item.type, item.commitment, item.length_class) for item in crowd.consents[place].items}
            if not set(found) <= items:
                raise EvidenceError(f"what was measured of {person.id} is not what the subject consented to")
    return sum(len(person.items) for person in people)


def check_signed(crowds: Sequence[Crowd], content: Mapping[str, Any], model: str, registered: Mapping[str, Any]) -> str:
    """That the consents counted when the audit ran, and are those of the evidence; one line. Raises EvidenceError."""
    digests = [digest for crowd in crowds for digest in crowd.digests]
    if content["consents"] != digests:
        raise EvidenceError("the evidence was made with other consents than those of the request")
    check_consents([one for crowd in crowds for one in crowd.documents], content["at"], model, registered)
    if not digests:
        return f"{sum(crowd.canaries for crowd in crowds)} canaries of the model's owner; nobody had to sign"
    return f"{len(digests)} signed for this model, valid at {content['at']}"
