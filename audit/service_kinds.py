"""Kinds of audit that the service runs itself, with registered models and watermark keys, instead of asking a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from audit.registry import AuditKind, Cancelled, Progress, is_run_by_service
from audit.requests import AuditRequest

if TYPE_CHECKING:
    from audit.privacy.records import Records
    from audit.runners.protocol import Runner
    from privacy.consent import Openings
    from watermark.keys import WatermarkKey


@dataclass(frozen=True)
class Needs:
    """What a service-run audit uses: models by digest, with the tier each must offer, watermark keys by commitment, and sealed
    uploads: the openings of consents by the consent's digest, private records by their commitment. An audit uses up what it
    names of the last two. The consents must be for the model that is the subject of the request. `own_words`: models are asked
    with prompts of the request's own."""

    models: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    own_words: bool = False


class Resources(Protocol):
    """What the service lends to an audit that it runs. Only what the request needs, and its auditor may use, opens."""

    @property
    def entropy(self) -> bytes:
        """32 bytes that the request and the service's signing key determine: the same at every run, and unknown beforehand to
        whoever made the request. What is random comes from here."""
        ...

    def open_model(self, digest: str) -> Runner:
        """The runner of a registered model. Raises RunnerError when it no longer answers as it was registered."""
        ...

    def tokenizer_folder(self, digest: str) -> Path | None:
        """The folder of a local model, which holds its tokenizer; None for an endpoint."""
        ...

    def open_key(self, commitment: str) -> WatermarkKey:
        """A watermark key. What it holds must reach neither evidence nor messages."""
        ...

    def open_openings(self, digest: str) -> Openings:
        """The values of a consent by its digest. They must reach neither evidence nor kept parts nor messages."""
        ...

    def open_records(self, commitment: str) -> Records:
        """Private records by their commitment. The same holds for them."""
        ...

    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What `make` gives, made once: a worker that was killed finds it again. It must depend on the request only."""
        ...


class ServiceKind(AuditKind, Protocol):
    """A kind whose evidence the service makes itself. Requests name the provider `audit.requests.SERVICE`.

    `run` is deterministic given the request (its digest is the seed) and what it opens, so that a killed worker runs it again. It
    may raise AuditError or WatermarkError with a public reason.
    """

    @property
    def runs_on(self) -> Literal["service"]: ...

    def needs(self, params: Mapping[str, Any]) -> Needs:
        """Which models and keys the parameters name. Raises RequestError."""
        ...

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        """Make the evidence files. Raises CancelledError (of either room) soon after `cancelled()` turns True."""
        ...


def as_service_kind(kind: AuditKind) -> ServiceKind | None:
    """The kind, if the service runs it; None for one that providers answer."""
    return cast(ServiceKind, kind) if is_run_by_service(kind) else None
