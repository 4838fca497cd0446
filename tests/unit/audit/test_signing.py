"""Key files: private, never overwritten, refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.errors import KeyFileError
from audit.signing import PrivateKey, PublicKey, load_public_key


def test_rfc_8032_vector() -> None:
    """Test 2 of RFC 8032, section 7.1."""
    public = PublicKey(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert public.verify(signature, b"\x72")
    assert not public.verify(signature, b"\x73")
    assert not public.verify(signature[:-1], b"\x72")


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    path, key = tmp_path / "a.key", PrivateKey.generate()
    old = os.umask(0)
    try:
        key.save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyFileError, match="exists"):
        PrivateKey.generate().save(path)
    again = PrivateKey.load(path)
    assert again.sign(b"x") == key.sign(b"x") and again.key_id == key.key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o700 | 0o010])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    PrivateKey.generate().save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        PrivateKey.load(path)


def test_load_or_create_makes_a_private_folder_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    first, second = PrivateKey.load_or_create(path), PrivateKey.load_or_create(path)
    assert first.key_id == second.key_id
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"nonsense", elliptic, b"x" * 5000):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileError):
            PrivateKey.load(path)
    with pytest.raises(KeyFileError):
        PrivateKey.load(tmp_path / "missing")


def test_public_keys_are_read_from_pem_and_base64(tmp_path: Path) -> None:
    key = PrivateKey.generate().public
    for content in (key.to_pem(), key.to_text().encode() + b"\n"):
        (tmp_path / "a.pub").write_bytes(content)
        assert load_public_key(tmp_path / "a.pub") == key
    for content in (b"", b"\xff", b"QQ==", key.to_text()[:-1].encode(), b"-----BEGIN PUBLIC KEY-----\n"):
        (tmp_path / "a.pub").write_bytes(content)
        with pytest.raises(KeyFileError):
            load_public_key(tmp_path / "a.pub")


def test_a_private_key_does_not_show_itself() -> None:
    key = PrivateKey.generate()
    assert key.key_id[:16] in repr(key) and len(repr(key)) < 40
