"""The audits of privacy of this version."""

from __future__ import annotations

from audit.deferred import Deferred
from audit.registry import AuditKind


def kinds() -> tuple[AuditKind, ...]:
    """One object a kind."""
    return (
        Deferred(
            "privacy.probe",
            "Whether a model gives away what data subjects signed for: exact ranks, decoys in every run",
            "audit.privacy.probe",
            "PrivacyProbe",
        ),
        Deferred(
            "privacy.dp_bound",
            "How much a training run leaks at least: a lower bound on epsilon from canaries, valid over all cut-offs",
            "audit.privacy.dp_bound",
            "PrivacyDpBound",
        ),
    )
