"""Consents in the parameters of an audit, and the values they cover once they are opened.

A request carries consents whole and public; the values lie sealed with the service. Whoever reads a report checks the consents
again: signature, model, validity at the time of the run, and that exactly the consented commitments were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit.canonical import dump_document
from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.service_kinds import Resources
from audit.subjects import consented_digest
from privacy.consent import Consent, Guard, read_request
from privacy.errors import ConsentError, PrivacyError
from privacy.people import Origin, Person

MAX_CONSENTS = 64
NAME = "name"
TIME = "%Y-%m-%dT%H:%M:%SZ"
IDENTITY = (
    "a consent shows that the holder of its key signed; that this is the person whose name the values carry, nobody checked here"
)


def read_consent(document: Any, now: datetime) -> Consent:
    """A consent request from a parsed JSON document, checked whole. Raises RequestError."""
    try:
        return read_request(dump_document(document), now)
    except PrivacyError as error:
        raise RequestError(str(error)) from None


def read_consents(fields: Fields) -> tuple[Consent, ...]:
    """The parameter `consents`: signed requests, each of one subject with one name and at most one value of a type.

    One value of a type a consent, and one use of a consent, keep an audit from being a way to try out guesses. Their validity in
    time is not judged here. Raises RequestError.
    """
    value = fields.take("consents")
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CONSENTS:
        raise RequestError(f"params.consents must be a list of 1 to {MAX_CONSENTS} signed consent requests")
    found = []
    for index, document in enumerate(value):
        try:
            consent = read_consent(document, issued(document))
        except RequestError as error:
            raise RequestError(f"params.consents[{index}]: {error}") from None
        types = [item.type for item in consent.items]
        if len(set(types)) != len(types) or NAME not in types or len(types) < 2:
            raise RequestError(f"params.consents[{index}] must cover a name, and one value of every other type")
        found.append(consent)
    if len({consent.digest for consent in found}) != len(found):
        raise RequestError("params.consents holds a consent twice")
    if len({consent.model_digest for consent in found}) != 1:
        raise RequestError("params.consents: all of them must be for the same model")
    return tuple(found)


def issued(document: Any) -> datetime:
    """When a consent was issued, by its own word; what is no time is refused by the reader."""
    try:
        return datetime.strptime(document["issued"], TIME).replace(tzinfo=UTC)
    except (TypeError, KeyError, ValueError):
        return datetime.now(UTC)


def check_consents(documents: Sequence[Any], at: Any, model: str, registered: Mapping[str, Any]) -> datetime:
    """That every consent was valid at `at`, the time of the run, and is for the registered model. Raises EvidenceError."""
    try:
        moment = datetime.strptime(at, TIME).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise EvidenceError("the evidence tells no time of the run") from None
    for number, document in enumerate(documents, 1):
        try:
            consent = read_consent(document, moment)
        except RequestError as error:
            raise EvidenceError(f"consent {number} did not count when the audit ran: {error}") from None
        if consent.model_digest != consented_digest(model, registered["attestation"]):
            raise EvidenceError(f"consent {number} is for another model than the one that was asked")
    return moment


@dataclass(frozen=True)
class Subjects:
    """Consented people with their guards, for one run. Printing shows no value."""

    people: tuple[Person, ...]
    guards: tuple[Guard, ...] = field(repr=False)

    def release(self, type_: str, value: str) -> str:
        """The commitment of a consented value that may be scored now, once. Raises ConsentError."""
        for guard, person in zip(self.guards, self.people):
            if person.values.get(type_) == value:
                return guard.release(type_, value)
        raise ConsentError(f"a value of type {type_[:40]} is covered by no consent of this audit")

    @property
    def values(self) -> tuple[str, ...]:
        """Every value, for screening what leaves the run."""
        return tuple(value for person in self.people for value in person.values.values())


def open_subjects(consents: Sequence[Consent], resources: Resources, model_digest: str, now: datetime) -> Subjects:
    """Open what the subjects signed for. Raises AuditError without a value."""
    people, guards = [], []
    for number, consent in enumerate(consents, 1):
        openings = resources.open_openings(consent.digest)
        try:
            guards.append(Guard(consent, openings, model_digest, now))
        except PrivacyError as error:
            raise RequestError(f"consent {number}: {error}") from None
        people.append(Person(subject_id(number), dict(openings.values), Origin.CONSENTED))
    seen: set[tuple[str, str]] = set()
    for person in people:
        own = set(person.values.items())
        if shared := sorted({type_ for type_, _ in own & seen}):
            raise RequestError(f"two subjects share a value of type {shared[0]}; ask about them in audits of their own")
        seen |= own
    return Subjects(tuple(people), tuple(guards))


def subject_id(number: int) -> str:
    """What a report calls the subject of the n-th consent."""
    return f"subject-{number}"


def check_items(consents: Sequence[Consent], types: Sequence[str], people: Sequence[Any]) -> int:
    """That exactly the consented items of these types were measured, under their subjects; how many. Raises EvidenceError.

    `people` have `id`, `origin` and `items`, each with `measured` (type, commitment, length_class).
    """
    if [person.id for person in people] != [subject_id(number) for number in range(1, len(consents) + 1)]:
        raise EvidenceError("the people of the result are not those of the consents, in their order")
    count = 0
    for number, (consent, person) in enumerate(zip(consents, people), 1):
        asked = {(item.type, item.commitment, item.length_class) for item in consent.items if item.type in types}
        found = [(one.measured.type, one.measured.commitment, one.measured.length_class) for one in person.items]
        if person.origin is not Origin.CONSENTED or len(found) != len(asked) or set(found) != asked:
            raise EvidenceError(f"what was measured of subject {number} is not what the subject consented to")
        count += len(found)
    return count
