"""Signed conformal certificates: an in-toto Statement v1 around the certificate, in a DSSE envelope.

The subject is the certificate by its digest; the predicate holds the certificate and the issuer's public key. A signature made
by the key inside says that nothing was altered since; that the key is the issuer's is for the reader to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.canonical import canonical_bytes, parse_json
from audit.dsse import IN_TOTO_TYPE, MAX_ENVELOPE_BYTES, read_envelope, sign_envelope, verify_envelope
from audit.errors import KeyFileError, SignatureError
from audit.signing import PrivateKey, PublicKey
from conformal.certificate import Certificate
from conformal.replay import parse_certificate

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:assay:conformal-certificate:1"
SUBJECT = "conformal-certificate"


@dataclass(frozen=True)
class SignedCertificate:
    """A certificate whose signature and numbers were checked. `pinned`: whether the reader named the key that had to sign."""

    certificate: Certificate
    issuer: PublicKey
    pinned: bool


def sign_certificate(certificate: Certificate, key: PrivateKey) -> bytes:
    """The bytes of the envelope: canonical, hence the same certificate and key give the same bytes."""
    certificate.to_bytes()  # refuses what could not be read again
    payload = canonical_bytes(_statement(certificate, key.public))
    return canonical_bytes(sign_envelope(payload, IN_TOTO_TYPE, [key])) + b"\n"


def open_certificate(data: bytes, issuer: PublicKey | None = None) -> SignedCertificate:
    """Check envelope, signature and every derived number of a certificate.

    Every byte counts: an envelope that is not spelled as `sign_certificate` writes it is refused. With `issuer`, that key must
    have signed; without, the key that the statement names. Raises SignatureError; CertificateError where the numbers of the
    certificate do not follow from one another.
    """
    payload, _, signatures = read_envelope(data)
    if len(signatures) != 1:
        raise SignatureError("a certificate carries exactly one signature, its issuer's")
    statement = parse_json(payload, "the statement", max_bytes=MAX_ENVELOPE_BYTES, error=SignatureError)
    named = _named_key(statement)
    if issuer is not None and issuer != named:
        raise SignatureError(f"the certificate names the key {named.key_id[:16]}..., not the issuer's {issuer.key_id[:16]}...")
    verify_envelope(data, [named], payload_type=IN_TOTO_TYPE)
    certificate = parse_certificate(statement["predicate"].get("certificate"))
    if canonical_bytes(_statement(certificate, named)) != payload:
        raise SignatureError("the statement says more or other than its certificate")
    envelope = sign_envelope(payload, IN_TOTO_TYPE, [_Signed(named.key_id, signatures[0])])
    if canonical_bytes(envelope) + b"\n" != data:
        raise SignatureError("the envelope is not as it was issued: a byte outside the signed part was changed")
    return SignedCertificate(certificate, named, issuer is not None)


@dataclass(frozen=True)
class _Signed:
    """Stands for the issuer's key where only the signature it made is known."""

    key_id: str
    signature: bytes

    def sign(self, message: bytes) -> bytes:
        return self.signature


def _statement(certificate: Certificate, key: PublicKey) -> dict[str, Any]:
    document = certificate.to_json()
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": SUBJECT, "digest": {"sha256": document["sha256"]}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"certificate": document, "issuer": {"publicKey": key.to_text()}},
    }


def _named_key(statement: Any) -> PublicKey:
    predicate = statement.get("predicate") if isinstance(statement, dict) else None
    shaped = isinstance(predicate, dict) and statement.get("predicateType") == PREDICATE_TYPE
    issuer = predicate.get("issuer") if shaped and isinstance(predicate, dict) else None
    text = issuer.get("publicKey") if isinstance(issuer, dict) else None
    if not isinstance(text, str):
        raise SignatureError(f"this is no signed certificate ({PREDICATE_TYPE}) with the issuer's public key")
    try:
        return PublicKey.from_text(text)
    except KeyFileError as error:
        raise SignatureError(f"the issuer's public key: {error}") from None
