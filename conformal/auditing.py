"""Third-party audit of a certificate on fresh labelled outputs.

The auditor filters its own outputs with the vendor's thresholds, judges the kept claims by the vendor's label policy, and
compares the count with the law of an honest vendor: BetaBinomial(m, k, n + 1 - k), not Binomial(m, 1 - alpha). Certificates by
group are tested in every group, corrected for their number (Holm). The sequential form is in `conformal.betting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from conformal.betting import BettingState, bet
from conformal.certificate import Certificate
from conformal.claims import ClaimTable
from conformal.digests import ledger_digest, refuse_overlap
from conformal.errors import CertificateError, GuaranteeError
from conformal.filtering import check_components, is_valid_at
from conformal.issuing import calibrator_of
from conformal.losses import kept_claims
from conformal.planning import AuditTest, AuditVerdict, audit_certificate
from conformal.promise import GroupThreshold

MAX_AUDITED = 100_000
MAX_BETS = 20_000


@dataclass(frozen=True)
class GroupAudit:
    """The audit of one threshold. `level`: the level its p-value is held against after the correction for several groups."""

    group: str | None
    promised: float
    test: AuditTest
    level: float
    betting: BettingState | None

    def to_json(self) -> dict[str, Any]:
        betting = None if self.betting is None else self.betting.to_json()
        return {
            "group": self.group,
            "expected_coverage": self.promised,
            **self.test.to_json(),
            "level": self.level,
            "betting": betting,
        }


@dataclass(frozen=True)
class CertificateAudit:
    """`verdict` is refuted when any group is, consistent when all are that the certificate has a threshold for, not-enough-data
    otherwise. `skipped`: outputs that no threshold speaks of, by reason; they count neither for nor against."""

    certificate: str
    ledger: str
    verdict: AuditVerdict
    groups: tuple[GroupAudit, ...]
    skipped: Mapping[str, int]
    conditions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "certificate_sha256": self.certificate,
            "fresh_ledger_sha256": self.ledger,
            "verdict": self.verdict,
            "groups": [found.to_json() for found in self.groups],
            "skipped": dict(self.skipped),
            "conditions": list(self.conditions),
        }


def audit_outputs(
    certificate: Certificate,
    fresh: ClaimTable,
    in_use: Mapping[str, str | None],
    now: datetime,
    *,
    level: float = 0.05,
    shortfall: float = 0.05,
    sequential: bool = False,
) -> CertificateAudit:
    """Audit a certificate on fresh labelled outputs, in their order if `sequential` (which must not depend on their labels).

    Raises GuaranteeError when an output is a calibration output or is there twice, or when nothing can be audited;
    CertificateError when the components differ or the certificate is not valid now; LedgerError for a table without labels.
    """
    if not 0 < level < 1 or not 0 < shortfall < 1:
        raise GuaranteeError("the level and the shortfall of an audit lie between 0 and 1")
    check_components(certificate, in_use)
    if not is_valid_at(certificate, now):
        raise CertificateError(f"the certificate is valid from {certificate.issued} to {certificate.expires}, not now")
    if not 1 <= fresh.n_outputs <= MAX_AUDITED:
        raise GuaranteeError(f"an audit takes 1 to {MAX_AUDITED} fresh outputs, not {fresh.n_outputs}")
    refuse_overlap(certificate.output_digests, fresh, "the audit set")
    parts, skipped = _parts(certificate, fresh)
    if not parts:
        raise GuaranteeError("no output is in a group for which the certificate has a threshold; there is nothing to audit")
    tests = [_test(found, right, level / len(parts), shortfall) for found, right in parts]
    levels = _holm_levels([test.p_value for test in tests], level)
    audits = []
    for (found, right), test, own in zip(parts, tests, levels):
        assert found.rank is not None
        betting = bet(right[:MAX_BETS].tolist(), found.n, found.rank, level / len(parts), shortfall) if sequential else None
        audits.append(GroupAudit(found.group, found.rank / (found.n + 1), _judge(test, own), own, betting))
    return CertificateAudit(
        certificate=certificate.sha256,
        ledger=ledger_digest(fresh),
        verdict=_overall([_verdict_of(audit) for audit in audits], sum(not found.abstains for found in certificate.thresholds)),
        groups=tuple(audits),
        skipped=skipped,
        conditions=_conditions(certificate, sequential, level, shortfall),
    )


def statement_holds(certificate: Certificate, fresh: ClaimTable) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether the certificate's statement is true of the claims it keeps, for every output (n). Raises LedgerError."""
    calibrator = calibrator_of(certificate.promise, fresh)
    found = [certificate.threshold_for(group) for group in fresh.groups]
    thresholds = np.array([np.inf if threshold is None else threshold.value for threshold in found])[fresh.owners]
    kept = kept_claims(calibrator.scores, thresholds, calibrator.comparator) & (thresholds != np.inf)  # type: ignore[arg-type]
    return calibrator.loss.holds(fresh, kept, calibrator.truth)


def _parts(
    certificate: Certificate, fresh: ClaimTable
) -> tuple[list[tuple[GroupThreshold, np.ndarray[Any, np.dtype[np.bool_]]]], dict[str, int]]:
    """The outputs that each threshold speaks of. Abstentions that no calibration backs would raise the rate: they are skipped."""
    right = statement_holds(certificate, fresh)
    found = [certificate.threshold_for(group) for group in fresh.groups]
    skipped = {
        "unknown-group": sum(threshold is None for threshold in found),
        "always-abstains": sum(threshold is not None and threshold.abstains for threshold in found),
    }
    parts = []
    for threshold in certificate.thresholds:
        rows = np.array([own is threshold for own in found])
        if not threshold.abstains and rows.any():
            parts.append((threshold, right[rows]))
    return parts, skipped


def _test(found: GroupThreshold, right: np.ndarray[Any, np.dtype[np.bool_]], level: float, shortfall: float) -> AuditTest:
    assert found.rank is not None
    return audit_certificate(int(right.sum()), len(right), found.n, found.rank, level, shortfall)


def _holm_levels(p_values: list[float], level: float) -> list[float]:
    """The level of each p-value in Holm's procedure: level / (number of groups left), once one is not rejected for all after."""
    levels, left, stopped = [0.0] * len(p_values), len(p_values), None
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        own = level / left if stopped is None else stopped
        levels[i] = own
        if p_values[i] > own and stopped is None:
            stopped = own
        left -= 1
    return levels


def _judge(test: AuditTest, level: float) -> AuditTest:
    accepted: AuditVerdict = "consistent" if test.power >= 0.5 else "not-enough-data"
    return replace(test, verdict="refuted" if test.p_value <= level else accepted)


def _verdict_of(audit: GroupAudit) -> AuditVerdict:
    """Where the audit is sequential, its verdict is the sequential one: only that may be looked at again and again. It does not
    accept what all labels together refute: right outputs put first would be accepted before the wrong ones come."""
    if audit.betting is None:
        return audit.test.verdict
    agreed = audit.betting.verdict != "consistent" or audit.test.verdict != "refuted"
    return audit.betting.verdict if agreed else "not-enough-data"


def _overall(verdicts: list[AuditVerdict], wanted: int) -> AuditVerdict:
    """`wanted`: thresholds to be audited; one without a fresh output has no verdict."""
    if "refuted" in verdicts:
        return "refuted"
    return "consistent" if verdicts.count("consistent") == wanted else "not-enough-data"


def _conditions(certificate: Certificate, sequential: bool, level: float, shortfall: float) -> tuple[str, ...]:
    sentences = [
        "The fresh outputs must be exchangeable with the calibration outputs and labelled without knowing what the filter kept.",
        "The law of an honest vendor includes the luck of its calibration draw; no audit can see a shortfall within it.",
        f"Accepted is coverage up to {shortfall:g} below that expected of an honest vendor; level {level:g}.",
    ]
    if certificate.promise.by_group:
        sentences.append("Levels are corrected for the number of groups.")
    if sequential:
        sentences.append("The sequential test was run in the order of the file, which must not depend on the labels.")
    return tuple(sentences)
