"""The subject's own file: key, redaction key and values, in clear and of mode 0600. Nothing else of the product writes values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.cli.privacy.private_files import read_bounded, write_new
from privacy.errors import ConsentError

if TYPE_CHECKING:
    from privacy.redaction import Redactor

FORMAT = "assay-privacy-subject/1"
NAME = "name"
_HEX64 = re.compile(r"[0-9a-f]{64}")
Values = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SubjectFile:
    """A data subject: an Ed25519 signer of `cryptography`, a redactor, and (type, value) pairs, one a type."""

    signer: Any = field(repr=False)
    redactor: Redactor = field(repr=False)
    values: Values = field(repr=False)

    @property
    def public_key(self) -> str:
        """The subject's name in requests and reports, 64 hexadecimal digits."""
        return str(self.signer.public_key().public_bytes_raw().hex())

    def take(self, types: Sequence[str] | None) -> Values:
        """The values of these types, the name always: it is what is asked with. None: all. Raises ConsentError."""
        if types is None:
            return self.values
        known = [type_ for type_, _ in self.values]
        if not set(types) <= set(known):
            raise ConsentError(f"the subject lacks a value of a type that was named; there are {', '.join(known)}")
        return tuple((type_, value) for type_, value in self.values if type_ in types or type_ == NAME)


def write_subject(path: Path, values: Values, region: str) -> SubjectFile:
    """A new subject with fresh keys, kept at `path`; `region` is that of phones without a country code.

    Raises ConsentError when the path is taken.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from privacy.redaction import Redactor

    made = SubjectFile(Ed25519PrivateKey.generate(), Redactor.new(), values)
    content = {
        "format": FORMAT,
        "key": made.signer.private_bytes_raw().hex(),
        "redaction_key": made.redactor.key.hex(),
        "region": region,
        "values": [{"type": type_, "value": value} for type_, value in values],
    }
    write_new(path, json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n", private=True)
    return made


def read_subject(path: Path) -> SubjectFile:
    """Read a subject's file. Raises ConsentError, ValueFormatError; no message quotes a value or a key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from api.cli.privacy.subject_values import check_values, parse_json, parse_pairs
    from privacy.redaction import Redactor

    what = f"the subject's file {path}"
    content = parse_json(read_bounded(path, "the subject's file", private=True), what)
    members = {"format", "key", "redaction_key", "region", "values"}
    if not isinstance(content, dict) or set(content) != members or content["format"] != FORMAT:
        raise ConsentError(f"{what} is no {FORMAT}; make one with `assay privacy subject new`")
    keys = content["key"], content["redaction_key"]
    if not all(isinstance(key, str) and _HEX64.fullmatch(key) for key in keys):
        raise ConsentError(f"{what} has a key that is no 64 hexadecimal digits")
    values = parse_pairs(content["values"], what)
    if not isinstance(content["region"], str):
        raise ConsentError(f"{what} has a region that is no text")
    check_values(values, content["region"])
    return SubjectFile(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys[0])), Redactor(bytes.fromhex(keys[1])), values)
