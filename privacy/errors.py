"""The one exception family of this room. Every message names what is wrong, where, and what to do; none carries a value."""

from __future__ import annotations


class PrivacyError(Exception):
    """Base of everything `privacy` raises on purpose."""


class ValueFormatError(PrivacyError):
    """A personal value does not parse as its type."""


class ConsentError(PrivacyError):
    """A consent request is malformed, not signed, expired, replayed, or does not cover what was asked."""


class ScoreError(PrivacyError):
    """Scores that allow no test: NaN or infinite, of the wrong shape, duplicated or missing rows, a malformed score file."""


class PlanError(PrivacyError):
    """A level, margin or sample size is out of range, or too small for the number of tests. Names what is needed."""
