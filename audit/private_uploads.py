"""What callers may do with personal values and private records: hand them over sealed, list what may be known, take them back.

An upload is removed when its audit has ended, however it ended, when it expires, and when its owner takes it back.
"""

from __future__ import annotations

import itertools
import logging
import re
import traceback
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audit.canonical import dump_document, parse_json
from audit.errors import AuditError, RequestError
from audit.requests import parse_digest
from audit.store import registrations, sealed
from audit.store.access import Principal
from audit.store.engine import Store, now_ms
from audit.store.models import SealedUpload
from audit.store.sealed import OPENINGS, RECORDS, ConsentLimits
from audit.vault import Vault

if TYPE_CHECKING:
    from privacy.consent import Consent, Openings

MAX_UPLOAD_BYTES = 4 << 20
RECORDS_DAYS = 30
# What a crash left of an upload whose transaction did not come about; younger files may belong to one that is under way.
STRAY_AGE_S = 600.0
NAME = "name"
MAX_NAME_WORDS = 4
_NAME = re.compile(r"(?:[^\W\d_]|[ .,'\u2019\u0300-\u036f-]){1,100}")
_PARTICLES = frozenset(("van", "von", "der", "den", "de", "la", "le", "di", "da", "dos", "du", "del", "bin", "al", "ter", "zu"))

_log = logging.getLogger("assay.uploads")


@dataclass(frozen=True)
class PrivateUploads:
    """The operations on sealed uploads."""

    store: Store
    vault: Vault
    limits: ConsentLimits = field(default_factory=ConsentLimits)

    def add_openings(self, caller: Principal, body: bytes) -> SealedUpload:
        """Take `{"consent", "openings", "auditors"}`: the values must be exactly what was signed, each of the form of its type.

        Raises RequestError, ConflictError; no message holds a value.
        """
        with _silent():
            content, names = _read_body(body, {"consent", "openings"})
            consent, openings = _check_openings(content["consent"], content["openings"], datetime.now(UTC))
        row = SealedUpload(
            digest=consent.digest,
            kind=OPENINGS,
            owner=caller.owner,
            auditors=names,
            facts={"items": sealed.public_facts(consent.items)},
            subject=consent.subject,
            nonce=consent.nonce,
            model_digest=consent.model_digest,
            name_tag=self._name_tag(openings, consent.model_digest),
            expires_at=int(consent.expires.timestamp() * 1000),
            created_at=now_ms(),
        )
        return self._add(row, dump_document(content["openings"]))

    def add_records(self, caller: Principal, body: bytes) -> SealedUpload:
        """Take `{"records", "auditors"}`. Raises RequestError, ConflictError; no message holds a text."""
        from audit.privacy.records import read_records

        with _silent():
            content, names = _read_body(body, {"records"})
            data = dump_document(content["records"])
            records = read_records(data)
        row = SealedUpload(
            digest=records.commitment,
            kind=RECORDS,
            owner=caller.owner,
            auditors=names,
            facts={"groups": {name: len(texts) for name, texts in records.groups.items()}},
            expires_at=now_ms() + RECORDS_DAYS * sealed.DAY_MS,
            created_at=now_ms(),
        )
        return self._add(row, data)

    def _add(self, row: SealedUpload, data: bytes) -> SealedUpload:
        self.sweep()
        with self.store.write() as session:
            kept = sealed.add_upload(session, row)
            self.vault.seal(row.digest, data)  # before the row counts; what a crash leaves here is swept
        return kept

    def _name_tag(self, openings: Openings, model_digest: str) -> str | None:
        """Pseudonyms of every two words of the name, so that asking about one name can be counted, whatever stands around it.

        Raises RequestError for a name that says more than a name.
        """
        names = [value for type_, value in openings.values if type_ == NAME]
        if len(names) > 1:
            raise RequestError("a consent covers one name")
        pairs = [pair for name in names for pair in itertools.combinations(_words_of_name(name), 2)]
        tags = {self.vault.sealer.pseudonym("\x00".join([model_digest, *pair]))[: sealed.TAG_CHARS] for pair in pairs}
        return "".join(sorted(tags)) or None

    def list_uploads(self, caller: Principal) -> Sequence[SealedUpload]:
        """Every upload the caller may use, newest first; an administrator sees all (not what is in them)."""
        self.sweep()
        with self.store.read() as session:
            return sealed.list_uploads(session, _scope(caller))

    def delete_upload(self, caller: Principal, digest: str) -> None:
        """Forget an upload of the caller's. An audit that runs on it fails; reports stay."""
        parse_digest(digest, "the digest of an upload")
        with self.store.write() as session:
            sealed.delete_upload(session, digest, _scope(caller))
        self.vault.remove_sealed(digest)

    def remove_of(self, audit_id: str) -> None:
        """Remove what an audit used that is not running any more. Harmless for one that is."""
        with self.store.read() as session:
            over = [row.digest for row in sealed.list_over(session) if row.audit_id == audit_id]
        self._remove(over)

    def _remove(self, digests: Sequence[str]) -> None:
        for digest in digests:  # the file first: a row without a file is harmless
            self.vault.remove_sealed(digest)
        if digests:
            with self.store.write() as session:
                sealed.remove_uploads(session, digests)

    def sweep(self) -> None:
        """Remove what is over: expired uploads, those of audits that have ended, what crashes left."""
        with self.store.read() as session:
            over = [row.digest for row in sealed.list_over(session)]
            known = sealed.known_digests(session)
        self._remove(over)
        for name, age_s in self.vault.list_sealed():
            if name not in known and age_s > STRAY_AGE_S:
                self.vault.remove_stray(name)
        with self.store.write() as session:
            sealed.forget_uses(session, self.limits.days)


@contextmanager
def _silent() -> Iterator[None]:
    """Of a defect while personal values are read only its type and places are logged: its message could hold one."""
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("reading an upload failed: %s at\n%s", type(error).__name__, places)
        raise AuditError("an internal error; the operator's log has the details") from None


def _words_of_name(value: str) -> list[str]:
    """The words by which a name is counted, sorted: without titles, initials and particles. Raises RequestError."""
    from privacy.errors import PrivacyError
    from privacy.matching.names import parse_name

    try:
        value = unicodedata.normalize("NFC", value)
        parsed = parse_name(value)
    except PrivacyError as error:
        raise RequestError(f"name: {error}") from None
    words = {word for part in parsed for word in re.split("['\u2019]", part) if len(word) > 1 and word not in _PARTICLES}
    if not _NAME.fullmatch(value) or len(words) > MAX_NAME_WORDS:
        raise RequestError(
            f"a name holds at most {MAX_NAME_WORDS} names, in letters, with spaces and .,'- between them: it is asked with"
        )
    return sorted(words)


def _check_openings(consent: Any, openings: Any, now: datetime) -> tuple[Consent, Openings]:
    from audit.privacy.consents import read_consent
    from audit.privacy.screen import SHORTEST
    from privacy.consent import Guard, read_openings
    from privacy.errors import PrivacyError
    from privacy.matching.matchers import TYPES, open_matcher
    from privacy.redaction import find_residue

    asked = read_consent(consent, now)
    try:
        found = read_openings(dump_document(openings))
        Guard(asked, found, asked.model_digest, now)
        for type_, value in found.values:
            if type_ in TYPES or type_.startswith("id:"):
                open_matcher(type_, value)
    except PrivacyError as error:
        raise RequestError(str(error)) from None
    if find_residue(dump_document({**consent, "items": []}), [value for _, value in found.values if len(value) >= SHORTEST]):
        raise RequestError("the consent request is public, and says one of the values itself; leave it out of its purpose")
    return asked, found


def _read_body(body: bytes, members: set[str]) -> tuple[Mapping[str, Any], list[str]]:
    content = parse_json(body, "the body", max_bytes=MAX_UPLOAD_BYTES)
    if not isinstance(content, dict) or not members <= set(content) <= {*members, "auditors"}:
        raise RequestError(f"the body must be a JSON object with {', '.join(sorted(members))}, and auditors at will")
    names = registrations.parse_auditors(content.get("auditors", []))
    if registrations.EVERYBODY in names:
        raise RequestError("personal values and private records are lent to named auditors only")
    return content, names


def _scope(caller: Principal) -> str | None:
    return None if caller.role == "admin" else caller.owner
