"""Consents that were used on this machine: a second use is refused, so that ranks cannot be asked for again and again.

One file a consent in the user's state folder, mode 0600, under a digest of subject and nonce; it holds a digest of the run that
used it, so that this run, and no other, may go on. Trust: whoever owns the folder can empty it. It guards against mistakes, and a
subject's copy of a request against reuse by the same auditor on the same machine; a service keeps its own record.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from privacy.consent import Consent
from privacy.errors import ConsentError

_CONSENT, _RUN = b"assay-used-consent/1\0", b"assay-used-consent-run/1\0"
_DIGEST_CHARS = 64


def state_folder() -> Path:
    """`$ASSAY_STATE`, otherwise `assay` in the user's state folder."""
    named = os.environ.get("ASSAY_STATE")
    return Path(named) if named else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "assay"


class UsedConsents:
    """The record of one machine."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = (folder or state_folder()) / "used-consents"

    def claim(self, consent: Consent, run: str) -> None:
        """Note that `run` (a secret of that run) uses the consent; again by the same run is harmless. Raises ConsentError."""
        name = hashlib.sha256(_CONSENT + f"{consent.subject}\0{consent.nonce}".encode()).hexdigest()
        mark = hashlib.sha256(_RUN + run.encode()).hexdigest().encode()
        path = self._folder / name
        beside = path.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(mark)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(beside, path)
                return
            except FileExistsError:
                known = path.read_bytes()[: _DIGEST_CHARS + 1]
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise ConsentError(f"the record of used consents {self._folder} cannot be kept: {error.strerror}") from None
        if not hmac.compare_digest(known, mark):
            raise ConsentError(
                "this consent was used before, and a consent is used once; ask the subject for a new one (a run that was"
                " interrupted goes on with the same command and the same -o folder)"
            )
