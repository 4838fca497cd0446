"""Consents in the parameters of an audit, and the values they cover once they are opened.

A request carries consents whole and public; the values lie sealed with the service. Whoever reads a report checks the consents
again: signature, model, validity at the time of the run, and that exactly the consented commitments were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from audit.canonical import dump_document
from audit.errors import EvidenceError, RequestError
from audit.subjects import consented_digest
from privacy.consent import Consent, read_request
from privacy.errors import PrivacyError

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


def read_consents(value: Any, where: str) -> tuple[Consent, ...]:
    """A parameter with signed requests, each of one subject with one name and at most one value of a type.

    One value of a type a consent, and one use of a consent, keep an audit from being a way to try out guesses. Their validity in
    time is not judged here. Raises RequestError.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CONSENTS:
        raise RequestError(f"{where} must be a list of 1 to {MAX_CONSENTS} signed consent requests")
    found = []
    for index, document in enumerate(value):
        try:
            consent = read_consent(document, issued(document))
        except RequestError as error:
            raise RequestError(f"{where}[{index}]: {error}") from None
        types = [item.type for item in consent.items]
        if len(set(types)) != len(types) or NAME not in types or len(types) < 2:
            raise RequestError(f"{where}[{index}] must cover a name, and one value of every other type")
        found.append(consent)
    if len({consent.digest for consent in found}) != len(found):
        raise RequestError(f"{where} holds a consent twice")
    if len({consent.model_digest for consent in found}) != 1:
        raise RequestError(f"{where}: all of them must be for the same model")
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
