"""Kinds whose module is imported when they are first used: building the registry, or reading a report of another kind, must load
neither NumPy nor torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from audit.registry import Cancelled, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.service_kinds import Needs, Resources, ServiceKind
from audit.service_run import ServiceRun


class Deferred(ServiceRun):
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
