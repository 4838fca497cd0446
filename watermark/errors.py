"""The one exception family of this room. Every message names what is wrong, where, and what to do; none carries a key."""

from __future__ import annotations


class WatermarkError(Exception):
    """Base of everything `watermark` raises on purpose."""


class ConfigError(WatermarkError):
    """A family, scheme or parameter is unknown, out of range, or does not fit the others."""


class KeyFileError(WatermarkError):
    """A key file is missing, malformed, too large, readable by others, or does not match its commitment."""


class TokenError(WatermarkError):
    """Token ids are no integers, outside the vocabulary, or too many; or a text cannot be tokenised."""


class NotDecidableError(WatermarkError):
    """The mark cannot be read with this dialect at all (for example lists that were drawn on a GPU)."""


class NotFiniteError(WatermarkError):
    """Scores of a model that are NaN, infinite, or leave no token possible: nothing can be drawn from them."""


class AttackError(WatermarkError):
    """An attack or an audit experiment was asked for with settings it cannot run under."""


class CancelledError(WatermarkError):
    """The caller asked long work to stop."""
