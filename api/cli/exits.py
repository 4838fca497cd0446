"""Exit codes of `assay`: they separate "false", "inconclusive" and "could not be done"."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the shell sees. 2 is click's own code for wrong usage."""

    OK = 0
    OPERATIONAL = 1
    USAGE = 2
    REFUTED = 3
    UNAUTHORISED = 4
    INCONCLUSIVE = 5
    NOT_FOUND = 6
    LOG_MISBEHAVES = 7
    INTERRUPTED = 130


_BY_VERDICT = {"holds": Exit.OK, "refuted": Exit.REFUTED, "inconclusive": Exit.INCONCLUSIVE}


def exit_for_verdict(verdict: str) -> Exit:
    """The exit code of a verdict; an unknown verdict counts as an operational error, never as success."""
    return _BY_VERDICT.get(verdict, Exit.OPERATIONAL)


class CommandError(Exception):
    """A command cannot go on. `message` names what is wrong and what to do; `code` is the exit code."""

    def __init__(self, message: str, code: Exit = Exit.OPERATIONAL) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
