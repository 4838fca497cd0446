"""Watermark keys: a family, its configuration, and a commitment that can be published without revealing anything.

Keys have little entropy (often 32 bits or fewer), so a plain hash of one could be inverted by trying. The commitment is
SHA-256(domain || blinding || canonical JSON of {"config", "family"}) with 32 random bytes of blinding: hiding as long as the
blinding is secret, binding by collision resistance. Opening it means showing family, configuration and blinding.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watermark.errors import KeyFileError
from watermark.families import Scheme, find_dialect, open_scheme
from watermark.key_files import read_private, write_private

FORMAT = "assay-watermark-key/1"
BLINDING_BYTES = 32
MAX_DRAWS = 8
_DOMAIN = b"assay-watermark-key-commitment/1\x00"
_MEMBERS = {"format", "family", "config", "blinding", "commitment", "created", "tokenizer"}


def canonical_json(value: Any) -> str:
    """Sorted, without spaces, ASCII; integers of any size exact, floats as their shortest decimal form.

    Raises KeyFileError for anything JSON cannot hold (NaN and infinities included).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise KeyFileError("a configuration must consist of JSON values, without NaN or infinities") from None


@dataclass(frozen=True)
class WatermarkKey:
    """`config` and `blinding` are secret as a whole; `public` and `commitment` may be shown to anyone.

    `created` is a time stamp for people; `tokenizer` the SHA-256 of the tokenizer.json the key is for. Neither is committed to.
    """

    family: str
    config: Mapping[str, Any] = field(repr=False)
    blinding: bytes = field(repr=False)
    created: str | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        if len(self.blinding) != BLINDING_BYTES:
            raise KeyFileError(f"the blinding has {len(self.blinding)} bytes, not {BLINDING_BYTES}")

    def __repr__(self) -> str:
        return f"WatermarkKey({self.family!r}, commitment {self.commitment[:16]}...)"

    @property
    def commitment(self) -> str:
        """64 hexadecimal digits."""
        return commit(self.family, self.config, self.blinding)

    @property
    def public(self) -> dict[str, Any]:
        """The configuration without the members its dialect calls secret. Raises ConfigError for an unknown family."""
        hidden = find_dialect(self.family).secrets()
        return {name: value for name, value in self.config.items() if name not in hidden}

    def open(self) -> Scheme:
        """The scheme that detects with this key. Raises ConfigError."""
        return open_scheme(self.family, self.config)


def commit(family: str, config: Mapping[str, Any], blinding: bytes) -> str:
    """The commitment of an opening, in hexadecimal."""
    opening = canonical_json({"config": dict(config), "family": family})
    return hashlib.sha256(_DOMAIN + blinding + opening.encode("ascii")).hexdigest()


def verify_commitment(commitment: str, family: str, config: Mapping[str, Any], blinding: bytes) -> bool:
    """Whether an opening matches a commitment published before; compared in constant time. A malformed one never matches."""
    try:
        expected = bytes.fromhex(commitment)
    except ValueError:
        return False
    if len(blinding) != BLINDING_BYTES:
        return False
    return hmac.compare_digest(bytes.fromhex(commit(family, config, blinding)), expected)


def new_key(
    family: str, options: Mapping[str, Any], created: str | None = None, tokenizer: str | None = None
) -> tuple[WatermarkKey, tuple[str, ...]]:
    """A fresh key and its hazards. Keys that a hazard speaks against are drawn again, up to MAX_DRAWS times.

    Hazards that every key of these options has (a short context, say) remain; the draw with the fewest is returned. Raises
    ConfigError.
    """
    dialect = find_dialect(family)
    best: tuple[dict[str, Any], tuple[str, ...]] | None = None
    for _ in range(MAX_DRAWS):
        config = dialect.new_config(options)
        hazards = tuple(dialect.open(config).hazards())
        if best is None or len(hazards) < len(best[1]):
            best = config, hazards
        if not hazards:
            break
    assert best is not None
    return WatermarkKey(family, best[0], secrets.token_bytes(BLINDING_BYTES), created, tokenizer), best[1]


def to_json(key: WatermarkKey) -> dict[str, Any]:
    """The content of a key file; secret."""
    out: dict[str, Any] = {
        "format": FORMAT,
        "family": key.family,
        "config": dict(key.config),
        "blinding": key.blinding.hex(),
        "commitment": key.commitment,
    }
    for name, value in (("created", key.created), ("tokenizer", key.tokenizer)):
        if value is not None:
            out[name] = value
    return out


def from_json(content: Any, where: str) -> WatermarkKey:
    """Inverse of `to_json`; `where` names the source in errors. Raises KeyFileError; no message repeats a value."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise KeyFileError(f"{where} is no watermark key: its format must be {FORMAT!r}")
    unknown = sorted(str(name)[:40] for name in set(content) - _MEMBERS)
    if unknown:
        raise KeyFileError(f"{where} has members no watermark key has: {', '.join(unknown[:5])}")
    family, config = content.get("family"), content.get("config")
    if not isinstance(family, str) or not isinstance(config, dict):
        raise KeyFileError(f"{where}: family must be a string and config an object")
    for name in ("created", "tokenizer"):
        if not isinstance(content.get(name, ""), str):
            raise KeyFileError(f"{where}: {name} must be a string")
    try:
        blinding = bytes.fromhex(content.get("blinding", ""))
    except (TypeError, ValueError):
        raise KeyFileError(f"{where}: blinding must be {2 * BLINDING_BYTES} hexadecimal digits") from None
    try:
        key = WatermarkKey(family, config, blinding, content.get("created"), content.get("tokenizer"))
        matches = verify_commitment(str(content.get("commitment", "")), family, config, blinding)
    except KeyFileError as error:
        raise KeyFileError(f"{where}: {error}") from None
    if not matches:
        raise KeyFileError(f"{where} does not match its commitment: it was altered or is incomplete; restore it from a copy")
    return key


def load_key(path: Path) -> WatermarkKey:
    """Read a key file. Raises KeyFileError that says what to do, never what is inside."""
    data = read_private(path)
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise KeyFileError(f"{path} is no watermark key: it is not JSON") from None
    return from_json(content, str(path))


def save_key(key: WatermarkKey, path: Path) -> None:
    """Write a new key file with mode 0600. Raises KeyFileError when the path exists: keys are never overwritten."""
    data = json.dumps(to_json(key), indent=2, allow_nan=False).encode("ascii") + b"\n"
    write_private(path, data)
