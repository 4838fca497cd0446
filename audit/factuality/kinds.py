"""The audits of factuality and of stated confidence of this version.

Reading a report of another kind must not load NumPy, so that the module of a kind is imported when it is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from audit.registry import AuditKind, Cancelled, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.service_kinds import Needs, Resources, ServiceKind
from audit.service_run import ServiceRun


class _Deferred(ServiceRun):
    """Stands for the kind `attribute` of `module`."""

    def __init__(self, name: str, title: str, module: str, attribute: str) -> None:
        self.name, self.title = name, title
        self._module, self._attribute = module, attribute

    @cached_property
    def kind(self) -> ServiceKind:
        """The kind itself."""
        found: ServiceKind = getattr(importlib.import_module(self._module), self._attribute)()
        return found

    def parse_params(self, params: Mapping[str, Any]) -> Any:
        return self.kind.parse_params(params)

    def needs(self, params: Mapping[str, Any]) -> Needs:
        return self.kind.needs(params)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        return self.kind.run(request, resources, progress, cancelled)

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        return self.kind.check(request, evidence, context)


def kinds() -> tuple[AuditKind, ...]:
    """One object a kind."""
    return (
        _Deferred(
            "factuality.certify",
            "Claims cut back so that what remains is true with a stated probability, as a certificate",
            "audit.factuality.certify",
            "FactualityCertify",
        ),
        _Deferred(
            "factuality.filter",
            "Outputs are cut back to the claims that a certificate lets through",
            "audit.factuality.filter",
            "FactualityFilter",
        ),
        _Deferred(
            "factuality.audit",
            "A vendor's certificate of factuality agrees with fresh labelled outputs",
            "audit.factuality.audit",
            "FactualityAudit",
        ),
        _Deferred(
            "factuality.drift",
            "A stream of labelled outputs is still like the calibration outputs",
            "audit.factuality.drift",
            "FactualityDrift",
        ),
        _Deferred(
            "calibration.evaluate",
            "Stated confidence means what it says: accuracy, proper scores, calibration error and its noise",
            "audit.factuality.evaluate",
            "CalibrationEvaluate",
        ),
    )
