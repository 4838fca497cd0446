"""Signed certificates: every byte of the envelope counts, and only the named issuer is believed."""

from __future__ import annotations

import base64
import json
from fractions import Fraction
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.dsse import IN_TOTO_TYPE, sign_envelope
from audit.errors import AuditError, SignatureError
from audit.factuality.certificates import open_certificate, sign_certificate
from audit.signing import PrivateKey
from conformal.certificate import Certificate
from conformal.documents import digest
from conformal.errors import CertificateError, ConformalError
from conformal.issuing import issue, make_promise
from conformal.losses import ALL_TRUE
from tests.unit.conformal.vendors import COMPONENTS, ISSUED, records, table

KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()


def certificate(n: int = 12) -> Certificate:
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5))
    return issue(promise, table(records(0, n)), components=COMPONENTS, issued=ISSUED)


def signed(statement: Any, *keys: PrivateKey) -> bytes:
    return canonical_bytes(sign_envelope(canonical_bytes(statement), IN_TOTO_TYPE, keys)) + b"\n"


def statement_of(data: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(data)["payload"]))


def test_it_reads_back_and_is_deterministic() -> None:
    made = certificate()
    data = sign_certificate(made, KEY)
    assert data == sign_certificate(made, KEY)
    found = open_certificate(data, KEY.public)
    assert found.certificate == made and found.issuer == KEY.public and found.pinned
    assert not open_certificate(data).pinned


@pytest.mark.parametrize(("flip", "step"), [(1, 3), (0x20, 5), (0x80, 7)])
def test_every_altered_byte_is_refused(flip: int, step: int) -> None:
    data = sign_certificate(certificate(), KEY)
    for place in range(0, len(data), step):
        altered = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
        with pytest.raises((AuditError, ConformalError)):
            open_certificate(altered)


def test_other_spellings_of_the_same_envelope_are_refused() -> None:
    data = sign_certificate(certificate(), KEY)
    envelope = json.loads(data)
    doubled = {**envelope, "signatures": envelope["signatures"] * 2}
    for spelled in (json.dumps(envelope).encode(), data[:-1], data + b"\n", canonical_bytes(doubled) + b"\n"):
        with pytest.raises(SignatureError):
            open_certificate(spelled)


def test_only_the_named_issuer_is_believed() -> None:
    data = sign_certificate(certificate(), OTHER)
    assert open_certificate(data).issuer == OTHER.public
    with pytest.raises(SignatureError, match="not the issuer's"):
        open_certificate(data, KEY.public)
    named = statement_of(sign_certificate(certificate(), KEY))
    with pytest.raises(SignatureError):
        open_certificate(signed(named, OTHER))
    with pytest.raises(SignatureError):
        open_certificate(signed(named, OTHER), KEY.public)
    with pytest.raises(SignatureError, match="one signature"):
        open_certificate(signed(named, KEY, OTHER), KEY.public)


@pytest.mark.parametrize("member", ["threshold", "rank", "coverage_interval_95"])
def test_a_forger_with_a_key_still_cannot_change_a_number(member: str) -> None:
    """Even the issuer's own signature does not make a wrong number right."""
    statement = statement_of(sign_certificate(certificate(), KEY))
    document = statement["predicate"]["certificate"]
    document["thresholds"][0][member] = {"threshold": "-1.0", "rank": 1}.get(member, ["0.9", "1.0"])
    del document["sha256"]
    document["sha256"] = digest(document)
    statement["subject"][0]["digest"]["sha256"] = document["sha256"]
    with pytest.raises(CertificateError, match="does not follow"):
        open_certificate(signed(statement, KEY), KEY.public)


def test_the_statement_says_nothing_else() -> None:
    statement = statement_of(sign_certificate(certificate(), KEY))
    for change in ({"extra": 1}, {"subject": []}, {"predicateType": "urn:assay:report:1"}, {"_type": "x"}, {"predicate": None}):
        with pytest.raises((SignatureError, CertificateError)):
            open_certificate(signed({**statement, **change}, KEY), KEY.public)
    for predicate in ({}, {"issuer": {"publicKey": 1}}, {**statement["predicate"], "more": True}):
        with pytest.raises((SignatureError, CertificateError)):
            open_certificate(signed({**statement, "predicate": predicate}, KEY), KEY.public)
    for value in (None, [], "x", 1):
        with pytest.raises(SignatureError):
            open_certificate(signed(value, KEY), KEY.public)
