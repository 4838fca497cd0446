"""Errors of the science rooms as one clear line: what is wrong, and what to do. Imports nothing heavy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from api.cli.exits import CommandError, Exit
from audit.errors import AuditError
from conformal.errors import ConformalError
from privacy.errors import PrivacyError
from watermark.errors import WatermarkError
from zk.frontend.errors import FrontendError
from zk.protocol.errors import ZkError

_REMEDIES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space or raise the quota",
    errno.EACCES: "check the permissions",
    errno.EROFS: "choose a writable folder",
}


_TRAINING_MEMORY = "not enough memory; make training.segment_steps smaller (assay estimate shows what a run needs)"


@contextmanager
def clear_errors(resumes: bool = False, memory: str = _TRAINING_MEMORY) -> Iterator[None]:
    """Turn every expected failure into a `CommandError`. `resumes`: running the same command again continues; `memory`: what
    to say when there is too little of it."""
    again = "; nothing is lost, run the same command again to resume" if resumes else ""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(f"interrupted{again}", Exit.INTERRUPTED) from None
    except (ZkError, FrontendError, AuditError, ConformalError, PrivacyError, WatermarkError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0)
        advice = (
            f"; {remedy} and run the same command again{' to resume, nothing is lost' if resumes else ''}" if remedy else again
        )
        raise CommandError(f"{where}{error.strerror or error}{advice}") from error
    except MemoryError:
        raise CommandError(f"{memory}{again}") from None
