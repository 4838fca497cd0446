"""DSSE 1.0.2: the specification's vector, and every rule of verification."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from audit.dsse import compute_pae, decode_base64, read_envelope, sign_envelope, verify_envelope
from audit.errors import SignatureError
from audit.signing import PrivateKey

TYPE = "http://example.com/HelloWorld"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


class P256:
    """The key of the specification's example; raw r and s, SHA-256."""

    key_id = "vector"

    def verify(self, signature: bytes, message: bytes) -> bool:
        key = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def signed(*keys: PrivateKey, payload: bytes = b"hello world") -> dict[str, Any]:
    return sign_envelope(payload, TYPE, keys)


def test_the_specifications_vector() -> None:
    assert compute_pae(TYPE, b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    envelope = {
        "payload": base64.b64encode(b"hello world").decode(),
        "payloadType": TYPE,
        "signatures": [{"keyid": "", "sig": SIGNATURE}],
    }
    assert verify_envelope(envelope, [P256()], payload_type=TYPE).payload == b"hello world"


def test_lengths_are_in_bytes() -> None:
    assert compute_pae("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()


def test_the_verified_bytes_are_returned() -> None:
    key = PrivateKey.generate()
    found = verify_envelope(json.dumps(signed(key)).encode(), [key.public], payload_type=TYPE)
    assert (found.payload, found.key_ids) == (b"hello world", (key.key_id,))


@pytest.mark.parametrize("keyid", [None, "", "lying", 7])
def test_keyid_never_decides(keyid: object) -> None:
    key = PrivateKey.generate()
    envelope = signed(key)
    if keyid is None:
        del envelope["signatures"][0]["keyid"]
    else:
        envelope["signatures"][0]["keyid"] = keyid
    assert verify_envelope(envelope, [key.public], payload_type=TYPE).payload == b"hello world"


def test_failing_signatures_are_skipped() -> None:
    key, stranger = PrivateKey.generate(), PrivateKey.generate()
    assert verify_envelope(signed(stranger, key), [key.public], payload_type=TYPE).key_ids == (key.key_id,)


def test_unique_keys_are_counted() -> None:
    key, other = PrivateKey.generate(), PrivateKey.generate()
    twice = signed(key, key)
    with pytest.raises(SignatureError, match="1 of the accepted keys"):
        verify_envelope(twice, [key.public, other.public], payload_type=TYPE, threshold=2)
    with pytest.raises(SignatureError, match="1 of the accepted keys"):
        verify_envelope(twice, [key.public, key.public], payload_type=TYPE, threshold=2)
    both = verify_envelope(signed(key, other), [key.public, other.public], payload_type=TYPE, threshold=2)
    assert len(both.key_ids) == 2


def test_a_threshold_of_zero_is_refused() -> None:
    with pytest.raises(SignatureError):
        verify_envelope(signed(PrivateKey.generate()), [], payload_type=TYPE, threshold=0)


def test_another_payload_type_is_refused_signed_or_not() -> None:
    key = PrivateKey.generate()
    with pytest.raises(SignatureError, match="holds"):
        verify_envelope(signed(key), [key.public], payload_type="text/plain")
    with pytest.raises(SignatureError):
        verify_envelope({**signed(key), "payloadType": "text/plain"}, [key.public], payload_type="text/plain")


def test_a_reencoded_payload_is_refused() -> None:
    key = PrivateKey.generate()
    envelope = signed(key, payload=b'{"a":1}')
    envelope["payload"] = base64.b64encode(b'{"a": 1}').decode()
    with pytest.raises(SignatureError):
        verify_envelope(envelope, [key.public], payload_type=TYPE)


def test_url_safe_base64_is_accepted() -> None:
    key = PrivateKey.generate()
    payload = b"\xff\xfe\xfd??>>"
    envelope = signed(key, payload=payload)
    envelope["payload"] = base64.urlsafe_b64encode(payload).decode()
    sig = base64.b64decode(envelope["signatures"][0]["sig"])
    envelope["signatures"][0]["sig"] = base64.urlsafe_b64encode(sig).decode()
    assert "-" in envelope["payload"] or "_" in envelope["payload"]
    assert verify_envelope(envelope, [key.public], payload_type=TYPE).payload == payload


@pytest.mark.parametrize("text", ["QR==", "QQ", "QQ=", "Q Q==", "QQ==\n", "é", "+-==", 7, None, "QQ==="])
def test_only_canonical_base64_is_read(text: object) -> None:
    with pytest.raises(SignatureError):
        decode_base64(text, "it")


@pytest.mark.parametrize(
    "envelope",
    [
        b"", b"[]", b"{}", b"\xff", b'{"payload":"QQ==","payloadType":"t","signatures":[]}',
        b'{"payload":"QQ==","payloadType":"t","signatures":{}}', b'{"payload":"QQ==","payloadType":"t","signatures":[1]}',
        b'{"payload":"QQ==","payloadType":"","signatures":[{"sig":"QQ=="}]}',
        b'{"payload":1,"payloadType":"t","signatures":[{"sig":"QQ=="}]}',
        b'{"payload":"QQ==","payload":"QQ==","payloadType":"t","signatures":[{"sig":"QQ=="}]}',
        b'{"payload":"QQ==","payloadType":"t","signatures":[' + b'{"sig":"QQ=="},' * 16 + b'{"sig":"QQ=="}]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_malformed_envelopes_raise_the_rooms_own_error(envelope: bytes) -> None:
    with pytest.raises(SignatureError):
        read_envelope(envelope)
