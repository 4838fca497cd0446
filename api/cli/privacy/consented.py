"""Signed requests with their openings, checked whole before a model is opened, and the people that probes make of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.exits import CommandError, Exit
from api.cli.privacy.private_files import read_bounded
from api.cli.privacy.subject_values import DEFAULT_REGION, check_values
from api.cli.privacy.used_consents import UsedConsents
from privacy.errors import ConsentError

if TYPE_CHECKING:
    from privacy.consent import Consent, Openings
    from privacy.people import Person

IDENTITY = "a consent shows that the holder of its key signed; nobody checked here that this is the person whose name it carries"
_SEED = b"assay-privacy-local-run/1\0"


@dataclass(frozen=True)
class Consented:
    """The consents of one run with their values."""

    consents: tuple[Consent, ...]
    openings: tuple[Openings, ...] = field(repr=False)

    @property
    def values(self) -> list[str]:
        return [value for one in self.openings for _, value in one.values]

    @property
    def types(self) -> tuple[str, ...]:
        """Types beside the name, in the order given."""
        return tuple(dict.fromkeys(item.type for one in self.consents for item in one.items if item.type != "name"))

    def people(self) -> list[Person]:
        """One person a consent, numbered as the consents are."""
        from privacy.people import Person

        return [Person(f"subject-{number}", dict(one.values)) for number, one in enumerate(self.openings, 1)]

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only who holds the openings can compute: the same at every run on these consents."""
        keys = hashlib.sha256(b"".join(one.redactor.key for one in self.openings)).digest()
        return hmac.digest(keys, _SEED + purpose.encode(), hashlib.sha256)

    def guarded(self, model_digest: str, run: str, used: UsedConsents | None = None) -> Guarded:
        """The guards for a model. Raises ConsentError."""
        return Guarded(self, model_digest, run, used or UsedConsents())


class Guarded:
    """Lets every consented value be scored once, by the run that the consents were first used for."""

    def __init__(self, consented: Consented, model_digest: str, run: str, used: UsedConsents) -> None:
        from privacy.consent import Guard

        now = datetime.now(UTC)
        pairs = zip(consented.consents, consented.openings, strict=True)
        self._guards = [Guard(consent, openings, model_digest, now) for consent, openings in pairs]
        self._run, self._used, self._claimed = run, used, False

    def release(self, type_: str, value: str) -> str:
        """The commitment of a value to be scored now; the first call notes that the consents are used. Raises ConsentError."""
        if not self._claimed:
            for guard in self._guards:
                self._used.claim(guard.consent, self._run)
            self._claimed = True
        for guard in self._guards:
            try:
                return guard.release(type_, value)
            except ConsentError:
                continue
        raise ConsentError(f"a value of type {type_[:40]} is not covered by the consents, or was scored already")


def read_consented(requests: Sequence[Path], openings: Sequence[Path], region: str = DEFAULT_REGION) -> Consented:
    """Requests with their openings, in the same order; `region` is that of phones without a country code.

    Raises CommandError, ConsentError, ValueFormatError; quotes no value.
    """
    from privacy.consent import read_openings, read_request

    if not requests or len(requests) != len(openings):
        raise CommandError("give --request and --openings as often as each other, in the same order", Exit.USAGE)
    now = datetime.now(UTC)
    consents = tuple(read_request(read_bounded(path, "the consent request"), now) for path in requests)
    opened = tuple(read_openings(read_bounded(path, "the openings", private=True)) for path in openings)
    if len({(one.subject, one.nonce) for one in consents}) != len(consents):
        raise ConsentError("a consent request was given twice")
    for consent, one in zip(consents, opened):
        Guarded(Consented((consent,), (one,)), consent.model_digest, "", UsedConsents())
        check_values(one.values, region)
    return Consented(consents, opened)
