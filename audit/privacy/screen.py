"""The last look at everything that leaves a run with personal values: files, kept parts, progress, reasons of failures.

Nothing of these holds a value by how they are made. If one ever does, the run fails instead of publishing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

from audit.errors import AuditError, CancelledError, EvidenceError, RequestError, StorageError
from audit.registry import Progress
from privacy.errors import PrivacyError, ProbeCancelledError
from privacy.redaction import find_residue, mask

SHORTEST = 8
"""Values of fewer characters stand in hexadecimal digests and words by chance; they are masked in messages only."""
_DIGEST = re.compile(rb"[0-9a-f]{64}")
Keep = Callable[[str, Callable[[], bytes]], bytes]


class Screen:
    """Knows the values of one run. Printing shows none."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self.add(values)

    def __repr__(self) -> str:
        return f"Screen({len(self._values)} values)"

    def add(self, values: Iterable[str]) -> None:
        """Look for these too."""
        self._values = tuple(dict.fromkeys((*self._values, *values)))

    def data(self, data: bytes) -> bytes:
        """The data, if it holds no value in any form. Raises EvidenceError."""
        if find_residue(_DIGEST.sub(b"", data), [value for value in self._values if len(value) >= SHORTEST]):
            raise EvidenceError("what was about to leave the run held a personal value; nothing was stored, please report this")
        return data

    def files(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The same for evidence files."""
        return {name: self.data(data) for name, data in files.items()}

    def progress(self, progress: Progress) -> Progress:
        """Progress whose messages are masked."""
        return lambda fraction, message: progress(fraction, mask(message, self._values))

    def keep(self, keep: Keep, prefix: str = "part") -> Keep:
        """Parts under names that any run can keep, each looked at before it is kept."""
        return lambda name, make: keep(f"{prefix}-{sha256(name.encode()).hexdigest()[:32]}", lambda: self.data(make()))

    @contextmanager
    def reasons(self) -> Iterator[None]:
        """Failures with a public reason, masked; those of `privacy` become failures of this room. Others pass as they are: of
        them only type and place are ever told."""
        try:
            yield
        except (CancelledError, ProbeCancelledError, StorageError):
            raise
        except AuditError as error:
            raise type(error)(mask(str(error), self._values)) from None
        except PrivacyError as error:
            raise RequestError(mask(str(error), self._values)) from None
