"""The one exception family of this room. Every message names what is wrong, where, and what to do."""

from __future__ import annotations


class ConformalError(Exception):
    """Base of everything `conformal` raises on purpose."""


class LedgerError(ConformalError):
    """A claim ledger is malformed: an unknown label, a missing or non-finite score, a repeated id. Names the line."""


class LevelError(ConformalError):
    """A level, rank or sample size is out of range, or a guarantee was asked for that these data cannot give."""


class GuaranteeError(ConformalError):
    """A figure was asked for that would look like a guarantee without being one (overlapping splits, ties, a changed score)."""


class CertificateError(ConformalError):
    """A certificate is malformed, altered, expired or does not belong to what it is used with. It counts for nothing."""
