"""Failures of commands that handle personal values: one line, and no exception behind it that could hold a value."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import typer

from api.cli.exits import CommandError, Exit
from api.cli.outcome import clear_errors

T = TypeVar("T")
TRACEBACKS = "ASSAY_TRACEBACKS"
_MEMORY = "not enough memory for this model; choose a smaller one, or fewer nulls"


def run_silently(work: Callable[[], T], resumes: bool = False) -> T:
    """What `work` gives. Raises CommandError without cause or context, typer.Exit as it is.

    Messages of this project's own errors stand for themselves: they quote no value. Of any other exception only its type is
    told, with ASSAY_TRACEBACKS=1 also the lines of code it came through: its text and those of its causes may quote anything.
    """
    try:
        with clear_errors(resumes=resumes, memory=_MEMORY):
            return _work(work)
    except CommandError as error:
        message, code = error.message, error.code
    except typer.Exit as stop:
        code = Exit(stop.exit_code)
        message = ""
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        message, code = f"the package {package} is missing; pip install 'assay-audit[privacy,models]'", Exit.OPERATIONAL
    except Exception as error:
        message, code = _describe(error), Exit.OPERATIONAL
    # Outside the handlers, so that what is raised here has no context.
    if not message:
        raise typer.Exit(code)
    raise CommandError(message, code)


def _work(work: Callable[[], T]) -> T:
    """The words of an OSError are replaced by the system's for its number; one without a number is nobody's we know."""
    try:
        return work()
    except OSError as error:
        if error.errno is None:
            raise _UnknownError(type(error).__name__, error.__traceback__) from None
        number, place = error.errno, error.filename
    raise OSError(number, os.strerror(number), place)


class _UnknownError(Exception):
    """An error whose words are not to be told."""

    def __init__(self, kind: str, frames: TracebackType | None) -> None:
        super().__init__(kind)
        self.kind, self.frames = kind, frames


def _describe(error: Exception) -> str:
    kind, frames = type(error).__name__, error.__traceback__
    if isinstance(error, _UnknownError):
        kind, frames = error.kind, error.frames
    said = f"internal error ({kind}); a defect of assay. {TRACEBACKS}=1 shows where"
    if not os.environ.get(TRACEBACKS):
        return said
    lines = (f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(frames))
    return "\n".join([said, *lines])
