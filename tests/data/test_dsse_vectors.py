"""Envelopes of other implementations, valid and invalid, against `audit.dsse`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from audit.dsse import compute_pae, verify_envelope
from audit.errors import SignatureError
from audit.signing import PublicKey
from tests.data.folder import json_files

pytestmark = pytest.mark.data
IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class EcdsaKey:
    """P-256 with raw r || s, as one of the vectors uses it."""

    x: int
    y: int
    key_id: str = "ecdsa"

    def verify(self, signature: bytes, message: bytes) -> bool:
        key = ec.EllipticCurvePublicNumbers(self.x, self.y, ec.SECP256R1()).public_key()
        half = len(signature) // 2
        encoded = utils.encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
        try:
            key.verify(encoded, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def make_key(entry: dict[str, Any]) -> PublicKey | EcdsaKey:
    if entry["type"] == "ed25519":
        return PublicKey(base64.b64decode(entry["public_key_base64"]))
    return EcdsaKey(int(entry["x"]), int(entry["y"]))


@pytest.mark.parametrize("content", json_files("trust", "dsse"))
def test_pre_authentication_encoding(content: dict[str, Any]) -> None:
    assert content["pae"]
    for case in content["pae"]:
        expected = case.get("pae_hex") or case["expected_hex"]
        assert compute_pae(case["payload_type"], bytes.fromhex(case["body_hex"])).hex() == expected


@pytest.mark.parametrize("content", json_files("trust", "dsse"))
def test_envelopes(content: dict[str, Any]) -> None:
    for case in content["vectors"]:
        envelope, keys = case["envelope"], {entry["keyid"]: make_key(entry) for entry in case["keys"]}
        kind = envelope["payloadType"] if case["expect_valid"] else IN_TOTO
        if not case["expect_valid"]:
            with pytest.raises(SignatureError):
                verify_envelope(envelope, keys.values(), payload_type=kind)
            continue
        verified = verify_envelope(envelope, keys.values(), payload_type=kind)
        signers = case.get("expect_signers", list(keys))
        assert sorted(verified.key_ids) == sorted(keys[name].key_id for name in signers), case["id"]
        assert verified.payload == base64.urlsafe_b64decode(envelope["payload"].replace("+", "-").replace("/", "_"))
