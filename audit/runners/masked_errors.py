"""Errors of runners as errors of privacy probes, which say nothing that a server or a library wrote: it may repeat a prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from audit.errors import CancelledError
from audit.runners.protocol import RunnerError
from privacy.errors import ModelAccessError, PrivacyError, ProbeCancelledError

T = TypeVar("T")


def asked(work: Callable[[], T]) -> T:
    """What `work` returns. Raises ModelAccessError for a RunnerError, ProbeCancelledError for a CancelledError.

    They are cut off from what caused them: tracebacks and loggers show causes and contexts.
    """
    failure: PrivacyError
    try:
        return work()
    except CancelledError:
        failure = ProbeCancelledError("the probe was cancelled while the model was asked")
    except RunnerError as error:
        failure = ModelAccessError(_public(error))
    raise failure  # not inside `except`, where Python would keep the error as its context


def _public(error: RunnerError) -> str:
    """The message where it is this project's own; of an error that wraps a library's, the kind alone."""
    if error.__cause__ is not None:
        return f"the model failed ({type(error.__cause__).__name__}); what the library says is left out, it may repeat a prompt"
    return str(error)
