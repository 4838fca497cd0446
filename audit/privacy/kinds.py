"""The audits of privacy of this version."""

from __future__ import annotations

from audit.deferred import Deferred
from audit.registry import AuditKind


def kinds() -> tuple[AuditKind, ...]:
    """One object a kind."""
    return (
        Deferred(
            "privacy.whitebox",
            "What a soft prompt tuned on some people brings out of others, beside a control tuned on invented people",
            "audit.privacy.whitebox",
            "PrivacyWhiteBox",
        ),
        Deferred(
            "privacy.extraction",
            "Whether private records are extracted word for word, beside controls that the model was not trained on",
            "audit.privacy.extraction",
            "PrivacyExtraction",
        ),
        Deferred(
            "privacy.membership",
            "Whether a model was trained on private records: ranks among non-members, blind controls, decoys",
            "audit.privacy.membership",
            "PrivacyMembership",
        ),
        Deferred(
            "privacy.unlearning",
            "Whether a model has forgotten: equivalent to one that never knew, within stated margins, also after attacks",
            "audit.privacy.unlearning",
            "PrivacyUnlearning",
        ),
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
