"""The one exception family of this room.

Every message names what is wrong, where, and what to do; none carries a secret, data or weights. `slug` names the
problem type in HTTP answers (`urn:assay:problem:<slug>`).
"""

from __future__ import annotations


class AuditError(Exception):
    """Base of everything `audit` raises on purpose."""

    slug = "audit-error"


class RequestError(AuditError):
    """A request or its parameters are malformed or ask for something that does not exist."""

    slug = "bad-request"


class EvidenceError(AuditError):
    """Evidence is malformed, too large, or bound to another request; it does not count."""

    slug = "bad-evidence"


class SignatureError(AuditError):
    """An envelope is malformed, or not enough accepted keys signed it."""

    slug = "bad-signature"


class KeyFileError(AuditError):
    """A key file is missing, malformed, or readable by others."""

    slug = "bad-key"


class ReportError(AuditError):
    """A report is malformed or incomplete."""

    slug = "bad-report"


class NotFoundError(AuditError):
    """The named thing does not exist here."""

    slug = "not-found"


class ConflictError(AuditError):
    """The thing exists, but its state does not allow what was asked."""

    slug = "conflict"


class IdempotencyMismatchError(AuditError):
    """An idempotency key was used before with another request."""

    slug = "idempotency-mismatch"


class ForbiddenError(AuditError):
    """The caller is known, but may not do this."""

    slug = "forbidden"


class StorageError(AuditError):
    """The database or the blob folder cannot do what was asked (full, read-only, unreachable, not migrated)."""

    slug = "storage"


class CancelledError(AuditError):
    """The audit was cancelled while work on it was going on."""

    slug = "cancelled"
