"""Personal values and private records on the service's disk: sealed, so that neither a crash nor a copy of the folder shows them.

ChaCha20-Poly1305 (RFC 8439) under a key that HKDF derives from the service's signing key; nothing else on the disk opens them.
Whoever holds the signing key and the sealed file reads it: the operator. Removing a file is all that removal can do on a disk
that keeps old blocks; what it kept of it is sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from audit.errors import StorageError
from audit.signing import PrivateKey

NONCE_BYTES, TAG_BYTES = 12, 16
_MAGIC = b"assay-sealed/1\x00"


class Sealer:
    """Seals and opens byte strings; `name` is bound in, so that one sealed thing cannot stand in another's place."""

    def __init__(self, key: PrivateKey) -> None:
        self._cipher = ChaCha20Poly1305(key.derive(b"sealing"))
        self._tags = key.derive(b"pseudonyms")

    def seal(self, name: str, data: bytes) -> bytes:
        """The sealed bytes, with a fresh nonce."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, data, _MAGIC + name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Inverse of `seal`. Raises StorageError for what is damaged, of another name, or sealed under another signing key."""
        body = sealed[len(_MAGIC) :]
        try:
            if not sealed.startswith(_MAGIC) or len(body) < NONCE_BYTES + TAG_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _MAGIC + name.encode())
        except InvalidTag:
            raise StorageError("a sealed upload is damaged, or was sealed under another signing key; upload it again") from None

    def pseudonym(self, text: str) -> str:
        """A name for `text` that only this service can give: hex HMAC-SHA256. For counting, never for reports."""
        return hmac.digest(self._tags, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
