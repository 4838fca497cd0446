"""What a provider signs before it publishes: its registration, a commitment, the public files of a run.

The signature, not the API key, decides what may be said in a provider's name. Each document is a DSSE envelope over
canonical JSON; these functions build and read them, and take the key to accept as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from audit.canonical import canonical_bytes, parse_json
from audit.dsse import IN_TOTO_TYPE, Signer, read_envelope, sign_envelope, verify_envelope
from audit.errors import EvidenceError, RequestError, SignatureError
from audit.evidence import MAX_FILE_BYTES, FileRef, Manifest, manifest_to_json, parse_manifest
from audit.reports import STATEMENT_TYPE
from audit.requests import SERVICE, Subject, parse_name, parse_subject
from audit.signing import PublicKey

REGISTRATION_TYPE = "application/vnd.assay.registration+json"
REGISTRATION_FORMAT = "assay-registration/1"
COMMITMENT_PREDICATE = "urn:assay:commitment:1"
PUBLICATION_PREDICATE = "urn:assay:publication:1"
RUN_SUBJECT = "run"
COMMITMENT_SUBJECT = "commitment"
# Among the published files of a report: what the provider signed. No file of a run may have such a name.
REGISTRATION_FILE = "registration.dsse.json"
PUBLICATION_FILE = "publication.dsse.json"
COMMITMENT_FILE = "commitment.dsse.json"
RECORD_FILE = "commitment.record"
SIGNED_NAMES = frozenset((REGISTRATION_FILE, PUBLICATION_FILE, COMMITMENT_FILE))


@dataclass(frozen=True)
class SignedCommitment:
    """A commitment a provider signed: `subject.name` says to what, `subject.sha256` is the digest of its record."""

    provider: str
    subject: Subject
    record_size: int


@dataclass(frozen=True)
class SignedPublication:
    """The public files of a run, as its provider signed them."""

    provider: str
    run_id: str
    files: Manifest


def sign_registration(provider: str, key: Signer, public: PublicKey) -> bytes:
    """A provider's registration: its name and public key, signed with that key."""
    payload = {"format": REGISTRATION_FORMAT, "provider": provider, "publicKey": public.to_text()}
    return canonical_bytes(sign_envelope(canonical_bytes(payload), REGISTRATION_TYPE, [key]))


def read_registration(envelope: bytes) -> tuple[str, PublicKey]:
    """Name and key of a registration that is signed by the very key it names. Raises AuditError."""
    unverified = _parse_registration(read_envelope(envelope)[0])[1]
    verified = verify_envelope(envelope, [unverified], payload_type=REGISTRATION_TYPE)
    return _parse_registration(verified.payload)


def _parse_registration(payload: bytes) -> tuple[str, PublicKey]:
    data = parse_json(payload, "the registration")
    if not isinstance(data, dict) or set(data) != {"format", "provider", "publicKey"}:
        raise RequestError("a registration has exactly format, provider and publicKey")
    if data["format"] != REGISTRATION_FORMAT or not isinstance(data["publicKey"], str):
        raise RequestError(f"a registration has the format {REGISTRATION_FORMAT!r} and a publicKey in base64")
    if data["provider"] == SERVICE:
        raise RequestError(f"the provider name {SERVICE!r} is reserved for what a service runs itself; choose another")
    return parse_name(data["provider"], "provider"), PublicKey.from_text(data["publicKey"])


def sign_commitment(commitment: SignedCommitment, key: Signer) -> bytes:
    """The envelope of a commitment."""
    predicate = {"provider": commitment.provider, "recordSize": commitment.record_size}
    return _sign_statement(commitment.subject, COMMITMENT_PREDICATE, predicate, key)


def read_commitment(envelope: bytes, key: PublicKey) -> SignedCommitment:
    """Verify and read a commitment. Raises AuditError."""
    subject, predicate = _read_statement(envelope, key, COMMITMENT_PREDICATE)
    size = predicate.get("recordSize")
    if set(predicate) != {"provider", "recordSize"} or not isinstance(size, int) or not 0 < size <= MAX_FILE_BYTES:
        raise RequestError(f"a commitment states provider and recordSize, 1 to {MAX_FILE_BYTES} bytes")
    if subject.name == RUN_SUBJECT:
        raise RequestError("a run is published, not committed; publish it with `assay publish`")
    return SignedCommitment(parse_name(predicate["provider"], "provider"), subject, size)


def sign_publication(publication: SignedPublication, key: Signer) -> bytes:
    """The envelope of a publication."""
    predicate = {"provider": publication.provider, "files": manifest_to_json(publication.files)}
    return _sign_statement(Subject(RUN_SUBJECT, publication.run_id), PUBLICATION_PREDICATE, predicate, key)


def read_publication(envelope: bytes, key: PublicKey) -> SignedPublication:
    """Verify and read a publication. Raises AuditError."""
    subject, predicate = _read_statement(envelope, key, PUBLICATION_PREDICATE)
    if set(predicate) != {"provider", "files"} or subject.name != RUN_SUBJECT:
        raise RequestError("a publication has a run as its subject, and states provider and files")
    files = parse_manifest(predicate["files"])
    for ref in files:
        if ref.name in SIGNED_NAMES:
            raise RequestError(f"{ref.name} is a name for the service's own copy of a signature; rename that file")
    return SignedPublication(parse_name(predicate["provider"], "provider"), subject.sha256, files)


def check_published(subject: Subject, provider: str, published: Manifest, read: Callable[[str], bytes]) -> PublicKey:
    """That `provider` signed exactly these published files of `subject`; the key that it registered.

    `read` gives the bytes of a published file. Raises AuditError that says what does not fit.
    """
    names = {ref.name for ref in published}
    envelope_name = PUBLICATION_FILE if subject.name == RUN_SUBJECT else COMMITMENT_FILE
    for name in (REGISTRATION_FILE, envelope_name):
        if name not in names:
            raise EvidenceError(f"{name} is missing: nothing shows that {provider} published this")
    registered, key = read_registration(read(REGISTRATION_FILE))
    if registered != provider:
        raise EvidenceError(f"the registration is that of {registered}, not of {provider}")
    if subject.name == RUN_SUBJECT:
        publication = read_publication(read(PUBLICATION_FILE), key)
        signer, digest, files = publication.provider, publication.run_id, publication.files
    else:
        commitment = read_commitment(read(COMMITMENT_FILE), key)
        signer, digest = commitment.provider, commitment.subject.sha256
        files = (FileRef(RECORD_FILE, digest, commitment.record_size),)
    if signer != provider or digest != subject.sha256:
        raise EvidenceError(f"what was signed is about {subject.name} {digest[:16]} of {signer}")
    differing = {ref for ref in published if ref.name not in SIGNED_NAMES} ^ set(files)
    if differing:
        raise EvidenceError(f"{min(differing).name} is not as {provider} signed it")
    return key


def _sign_statement(subject: Subject, predicate_type: str, predicate: Mapping[str, Any], key: Signer) -> bytes:
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [subject.to_json()],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
    return canonical_bytes(sign_envelope(canonical_bytes(statement), IN_TOTO_TYPE, [key]))


def _read_statement(envelope: bytes, key: PublicKey, predicate_type: str) -> tuple[Subject, dict[str, Any]]:
    try:
        verified = verify_envelope(envelope, [key], payload_type=IN_TOTO_TYPE)
    except SignatureError as error:
        raise SignatureError(f"{error} (the key registered for this provider is {key.to_text()})") from error
    statement = parse_json(verified.payload, "the statement")
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise RequestError(f"the payload is not an in-toto statement ({STATEMENT_TYPE})")
    if statement.get("predicateType") != predicate_type:
        raise RequestError(f"predicateType must be {predicate_type}")
    subjects, predicate = statement.get("subject"), statement.get("predicate")
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(predicate, dict):
        raise RequestError("the statement needs exactly one subject and a predicate")
    return parse_subject(subjects[0]), predicate
