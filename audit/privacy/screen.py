"""The last look at everything that leaves a run with personal data: files, kept parts, progress, reasons of failures.

Nothing of these holds any by how they are made. If one ever does, the run fails instead of publishing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

from audit.errors import AuditError, CancelledError, EvidenceError, RequestError, StorageError
from audit.registry import Progress
from privacy.errors import PrivacyError, ProbeCancelledError
from privacy.redaction import MASK, find_residue, forms_of, mask

SHORTEST = 8
"""Values of fewer characters stand in hexadecimal digests and words by chance; they are masked in messages only."""
SHORTEST_TEXT, LOOKED_AT = 12, 64
"""Of a private record, so many of the first characters are looked for, as they stand."""
_DIGEST = re.compile(rb"[0-9a-f]{64}")
Keep = Callable[[str, Callable[[], bytes]], bytes]


class Screen:
    """Knows the personal values of one run, sought in every form, and its private texts, sought as they stand. Printing shows
    none."""

    def __init__(self, values: Iterable[str] = (), texts: Iterable[str] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self._forms: tuple[str, ...] = ()
        self._texts: tuple[str, ...] = ()
        self.add(values, texts)

    def __repr__(self) -> str:
        return f"Screen({len(self._values)} values, {len(self._texts)} texts)"

    def add(self, values: Iterable[str] = (), texts: Iterable[str] = ()) -> None:
        """Look for these too."""
        self._values = tuple(dict.fromkeys((*self._values, *values)))
        self._forms = tuple(form.decode("utf-8", "replace").lower() for value in self._values for form in forms_of(value))
        self._texts = tuple(dict.fromkeys((*self._texts, *(text[:LOOKED_AT] for text in texts if len(text) >= SHORTEST_TEXT))))

    def data(self, data: bytes) -> bytes:
        """The data, if it holds nothing personal. Raises EvidenceError."""
        seen = _DIGEST.sub(b"", data)
        long = [value for value in self._values if len(value) >= SHORTEST]
        if find_residue(seen, long) or any(text.encode("utf-8", "surrogatepass") in seen for text in self._texts):
            raise EvidenceError("what was about to leave the run held personal data; nothing was stored, please report this")
        return data

    def files(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The same for evidence files."""
        return {name: self.data(data) for name, data in files.items()}

    def message(self, message: str) -> str:
        """The message, masked."""
        lowered = message.lower()
        if any(form in lowered for form in self._forms):
            message = mask(message, self._values)
        for text in self._texts:
            message = message.replace(text, MASK)
        return message

    def progress(self, progress: Progress) -> Progress:
        """Progress whose messages are masked."""
        return lambda fraction, message: progress(fraction, self.message(message))

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
            raise type(error)(self.message(str(error))) from None
        except PrivacyError as error:
            raise RequestError(self.message(str(error))) from None
