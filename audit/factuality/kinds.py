"""The audits of factuality and of stated confidence of this version."""

from __future__ import annotations

from audit.deferred import Deferred
from audit.registry import AuditKind


def kinds() -> tuple[AuditKind, ...]:
    """One object a kind."""
    return (
        Deferred(
            "factuality.certify",
            "Claims cut back so that what remains is true with a stated probability, as a certificate",
            "audit.factuality.certify",
            "FactualityCertify",
        ),
        Deferred(
            "factuality.filter",
            "Outputs are cut back to the claims that a certificate lets through",
            "audit.factuality.filter",
            "FactualityFilter",
        ),
        Deferred(
            "factuality.audit",
            "A vendor's certificate of factuality agrees with fresh labelled outputs",
            "audit.factuality.audit",
            "FactualityAudit",
        ),
        Deferred(
            "factuality.drift",
            "A stream of labelled outputs is still like the calibration outputs",
            "audit.factuality.drift",
            "FactualityDrift",
        ),
        Deferred(
            "calibration.evaluate",
            "Stated confidence means what it says: accuracy, proper scores, calibration error and its noise",
            "audit.factuality.evaluate",
            "CalibrationEvaluate",
        ),
    )
