"""What can go wrong in a run. All are ConformalErrors."""

from __future__ import annotations

from conformal.errors import ConformalError


class PipelineError(ConformalError):
    """A run cannot start or go on: a setting, a folder of another run, a damaged file. Names what to change."""


class ModelError(PipelineError):
    """A model did not answer, or not in the way it was asked to. Raised by adapters, too."""


class MissingCapabilityError(PipelineError):
    """A scorer needs something of the model that it does not offer; found before any work is done."""


class ReplyError(PipelineError):
    """A model's reply is not in the form its prompt asks for. The reply is data: it is parsed as JSON or refused."""


class SplitError(PipelineError):
    """An answer could not be cut into claims; it becomes an abstention."""


class RunCancelledError(PipelineError):
    """The run was cancelled; what is finished is kept and the same call continues."""
