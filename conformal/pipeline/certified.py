"""Back-off by a certificate: refused where anything that made the scores is not what the certificate speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from conformal.certificate import Certificate
from conformal.errors import CertificateError
from conformal.filtering import check_components, filter_outputs, is_valid_at
from conformal.pipeline.backoff import Decision
from conformal.pipeline.ledger import ScoredOutput
from conformal.pipeline.plan import Plan

Clock = Callable[[], datetime]


def certified(plan: Plan, certificate: Certificate, clock: Clock | None = None) -> Plan:
    """The plan, backed off by a certificate. Raises CertificateError where it does not apply, PipelineError where the plan lacks
    its score."""
    return replace(plan, backoff=CertifiedBackOff(certificate, plan.components(certificate.promise.score), clock))


class CertifiedBackOff:
    """Filters as `conformal.filtering` does. A certificate that expires during a run has the rest of the outputs abstain."""

    def __init__(self, certificate: Certificate, components: Mapping[str, str | None], clock: Clock | None = None) -> None:
        """`components` are those of the run (`Plan.components`). Raises CertificateError when one differs from the certificate's,
        or is not given by it, and when it is not valid now."""
        missing = [name for name in components if certificate.components.get(name) is None]
        if missing:
            raise CertificateError(f"the certificate does not say which {missing[0]} it was issued for: nothing to check it by")
        check_components(certificate, components)
        self._certificate, self._components = certificate, dict(components)
        self._clock = clock or (lambda: datetime.now(UTC))
        if not is_valid_at(certificate, self._clock()):
            raise CertificateError(f"the certificate is valid from {certificate.issued} to {certificate.expires} only")

    @property
    def score(self) -> str:
        return self._certificate.promise.score

    def decide(self, outputs: Sequence[ScoredOutput]) -> list[Decision]:
        found = filter_outputs(
            self._certificate, [output.to_json() for output in outputs], self._components, self._clock()
        ).outputs
        return [Decision(tuple(claim.index for claim in one.kept), one.abstention) for one in found]

    def to_json(self) -> dict[str, Any]:
        return {"score": self.score, "certificate_sha256": self._certificate.sha256}
