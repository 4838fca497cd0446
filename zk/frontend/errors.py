"""The exception family of the frontend: every message says what is wrong, where, and what to do."""

from __future__ import annotations


class FrontendError(Exception):
    """Base of everything the frontend raises on purpose."""


class DatasetError(FrontendError):
    """A dataset cannot be read, or holds values no model can be trained on."""


class ConfigError(FrontendError):
    """A run configuration is malformed; names the key and what to write."""


class PlanError(FrontendError):
    """No fixed-point scales keep the requested run exact; names the quantity that does not fit."""


class ExportError(FrontendError):
    """A module or a weight file has no integer counterpart; names the module or array."""
