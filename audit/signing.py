"""Ed25519 keys of providers and services: files that only their owner can read, and the two halves that DSSE needs."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.errors import KeyFileError

PUBLIC_KEY_BYTES = 32
MAX_KEY_FILE_BYTES = 4096
DERIVED_BYTES = 32
_DERIVATION = b"assay-derived-key/1\x00"


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 raw bytes. `key_id` is the hex SHA-256 of those bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise KeyFileError(f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, this one {len(self.raw)}")

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_text(self) -> str:
        """Standard base64 of the raw key, as the API and reports carry it."""
        return base64.b64encode(self.raw).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Inverse of `to_text`. Raises KeyFileError."""
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise KeyFileError("a public key is 32 bytes in base64") from error
        key = cls(raw)
        if key.to_text() != text:
            raise KeyFileError("a public key must be canonical base64")
        return key

    def to_pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM, as OpenSSL reads it."""
        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class PrivateKey:
    """An Ed25519 private key. Deterministic signatures (RFC 8032): the same message gives the same bytes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))

    def __repr__(self) -> str:
        return f"PrivateKey({self.key_id[:16]}...)"

    @property
    def key_id(self) -> str:
        return self.public.key_id

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature."""
        return self._key.sign(message)

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes for one purpose, which tell nothing about the key nor about those of another purpose (HKDF-SHA256)."""
        raw = self._key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        return HKDF(hashes.SHA256(), DERIVED_BYTES, salt=None, info=_DERIVATION + purpose).derive(raw)

    def save(self, path: Path) -> None:
        """Write PKCS #8 PEM with mode 0600. Raises KeyFileError when the file exists: keys are never overwritten."""
        pem = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise KeyFileError(f"{path} exists; move it away to make a new key") from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """Read a key file. Raises KeyFileError when it is missing, malformed, or open to anyone but its owner."""
        try:
            mode = path.stat().st_mode
            data = path.read_bytes()
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(f"{path} can be read by others; run: chmod 600 {path}")
        if len(data) > MAX_KEY_FILE_BYTES:
            raise KeyFileError(f"{path} is too large for a key file")
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileError(f"{path} is not an unencrypted PEM private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path} is not an Ed25519 key")
        return cls(key)

    @classmethod
    def load_or_create(cls, path: Path) -> PrivateKey:
        """Load the key at `path`, or make one there (its folder with mode 0700)."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            try:
                cls.generate().save(path)
            except KeyFileError:
                if not path.exists():  # another process may have made it in between; anything else is an error
                    raise
        return cls.load(path)


def load_public_key(path: Path) -> PublicKey:
    """Read a public key file: PEM, or one line of base64. Raises KeyFileError."""
    try:
        data = path.read_bytes()[: MAX_KEY_FILE_BYTES + 1]
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if not data.startswith(b"-----BEGIN"):
        try:
            return PublicKey.from_text(data.decode("ascii").strip())
        except UnicodeDecodeError as error:
            raise KeyFileError(f"{path} is neither PEM nor base64") from error
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        raise KeyFileError(f"{path} is not a PEM public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} is not an Ed25519 key")
    return PublicKey(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
