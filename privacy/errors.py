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


class ModelAccessError(PrivacyError):
    """The model does not offer what a probe needs, or answered something malformed. Never replaced by a number."""


class ProbeCancelledError(PrivacyError):
    """A probe was cancelled; what it kept so far goes on from there."""


class BoundaryError(PrivacyError):
    """A tokenizer joins the end of the prompt with the beginning of the value in a way that no common boundary repairs."""


class TemplateError(PrivacyError):
    """A template is malformed, or does not fit the person it is asked for."""
