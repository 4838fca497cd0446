"""Consent: exactly the signed values, once, on the signed model, in time; redaction leaves nothing of a value."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.consent import MAX_ITEMS, Consent, Guard, Openings, new_request, read_openings, read_request
from privacy.errors import ConsentError
from privacy.redaction import Redactor, find_residue, forms_of, length_class, mask

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = "ab" * 32
VALUES = (("phone", "+1 212 555 0142"), ("email", "jane.roe@mail.example"))


@pytest.fixture
def signer() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def made(signer: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    return new_request(signer, Redactor.new(), MODEL, "my own data", VALUES, NOW)


def both(made: tuple[bytes, bytes]) -> tuple[Consent, Openings]:
    return read_request(made[0], NOW), read_openings(made[1])


def test_a_request_holds_no_value_and_is_read_back(made: tuple[bytes, bytes], signer: Ed25519PrivateKey) -> None:
    consent, openings = both(made)
    assert not find_residue(made[0], [value for _, value in VALUES])
    assert consent.subject == signer.public_key().public_bytes_raw().hex() and consent.purpose == "my own data"
    assert [item.type for item in consent.items] == ["phone", "email"] and consent.items[0].length_class == "9-16"
    assert openings.values == VALUES and VALUES[0][1] not in repr(openings) + repr(consent)


def test_every_change_of_a_request_is_noticed(made: tuple[bytes, bytes]) -> None:
    content = json.loads(made[0])
    for name in content:
        for changed in ("", "00" * 32, None, [], {**content}, 1):
            with pytest.raises(ConsentError):
                read_request(json.dumps({**content, name: changed}).encode(), NOW)
    for place in range(0, len(made[0]), 7):
        broken = bytearray(made[0])
        broken[place] ^= 1
        with pytest.raises(ConsentError):
            read_request(bytes(broken), NOW)


def test_another_subjects_signature_is_refused(made: tuple[bytes, bytes]) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    with pytest.raises(ConsentError, match="not signed"):
        read_request(json.dumps({**json.loads(made[0]), "subject": other}).encode(), NOW)


def test_time(made: tuple[bytes, bytes], signer: Ed25519PrivateKey) -> None:
    with pytest.raises(ConsentError, match="expired"):
        read_request(made[0], NOW + timedelta(days=30))
    with pytest.raises(ConsentError, match="future"):
        read_request(made[0], NOW - timedelta(hours=1))
    for days in (0, -1, 400):
        with pytest.raises(ConsentError, match="expires"):
            new_request(signer, Redactor.new(), MODEL, "x", VALUES, NOW, timedelta(days=days))
    with pytest.raises(ConsentError, match="expired"):
        Guard(*both(made), MODEL, NOW + timedelta(days=31))


def test_the_guard_keeps_to_the_request(made: tuple[bytes, bytes]) -> None:
    consent, openings = both(made)
    guard = Guard(consent, openings, MODEL, NOW)
    assert guard.release(*VALUES[0]) == consent.items[0].commitment
    with pytest.raises(ConsentError, match="already"):
        guard.release(*VALUES[0])
    for other in (("phone", "+1 212 555 0143"), ("email", VALUES[0][1]), ("name", "Jane Roe")):
        with pytest.raises(ConsentError) as error:
            guard.release(*other)
        assert other[1] not in str(error.value)
    guard.release(*VALUES[1])


def test_the_guard_refuses_another_model_and_other_openings(made: tuple[bytes, bytes], signer: Ed25519PrivateKey) -> None:
    consent, openings = both(made)
    with pytest.raises(ConsentError, match="another model"):
        Guard(consent, openings, "cd" * 32, NOW)
    other = new_request(signer, Redactor.new(), MODEL, "my own data", VALUES, NOW)
    with pytest.raises(ConsentError, match="another consent"):
        Guard(consent, read_openings(other[1]), MODEL, NOW)
    content = json.loads(made[1])
    for values in (content["values"][:1], [*content["values"], {"type": "phone", "value": "+1 212 555 0199"}]):
        with pytest.raises(ConsentError, match="missing, changed or added"):
            Guard(consent, read_openings(json.dumps({**content, "values": values}).encode()), MODEL, NOW)
    twice = json.dumps({**content, "values": content["values"] * 2}).encode()
    with pytest.raises(ConsentError, match="twice"):
        Guard(consent, read_openings(twice), MODEL, NOW)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"format": NaN}', b"x" * (1 << 21)],
)
def test_malformed_input_is_refused(data: bytes) -> None:
    for read in (lambda d: read_request(d, NOW), read_openings):
        with pytest.raises(ConsentError):
            read(data)


def test_bounds(signer: Ed25519PrivateKey) -> None:
    bad: list[Any] = [
        [], [("phone", str(i)) for i in range(MAX_ITEMS + 1)], [("phone", "")], [("phone", "1" * 500)], [("Phone!", "1")],
        [("phone", "1"), ("phone", "1")],
    ]  # fmt: skip
    for values in bad:
        with pytest.raises(ConsentError):
            new_request(signer, Redactor.new(), MODEL, "x", values, NOW)
    for model, purpose in (("xyz", "x"), (MODEL, ""), (MODEL, "x" * 500)):
        with pytest.raises(ConsentError):
            new_request(signer, Redactor.new(), model, purpose, VALUES, NOW)


def test_commitments_hide_and_bind() -> None:
    redactor = Redactor.new()
    commitment = redactor.commit("phone", "1")
    assert redactor.verify(commitment, "phone", "1") and not redactor.verify(commitment, "phone", "2")
    assert not redactor.verify(commitment, "phon", "e1") and redactor.commit("phon", "e1") != commitment
    assert Redactor.new().commit("phone", "1") != commitment and redactor.derive("a").commit("phone", "1") != commitment
    assert redactor.key.hex() not in repr(redactor) and str(redactor.key) not in repr(redactor)
    with pytest.raises(ValueError):
        Redactor(b"short")
    assert [length_class("x" * n) for n in (1, 4, 5, 17, 1000)] == ["1-4", "1-4", "5-8", "17-32", "over 128"]


@pytest.mark.parametrize("value", ["+1 212 555 0142", "jane.roe@mail.example", "José Núñez", "12 Elm Road, Springfield"])
def test_residue_is_found_in_every_form(value: str) -> None:
    digits = "".join(c for c in value if c.isdigit())
    raw = value.encode()
    written = [
        raw,
        raw.hex().encode(),
        base64.b64encode(raw),
        quote(value).encode(),
        value.upper().encode(),
        json.dumps(value).encode(),
    ]
    written += [base64.b64encode(b"x" * shift + raw + b"tail") for shift in range(3)]
    if len(digits) >= 7:
        written += [digits.encode(), digits.encode().hex().encode()]
    for data in written:
        assert find_residue(b"before " + data + b" after", [value]) == [0], data
        assert value not in mask(data.decode(), [value]) or data != raw
    assert not find_residue(b"nothing of the kind stands here 0123", [value])
    assert all(len(form) >= 4 for form in forms_of(value)) and mask(f"a {value} b", [value]) == "a [redacted] b"
