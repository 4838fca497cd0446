"""`factuality.audit`: a vendor's certificate against fresh labelled outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from audit.factuality.filter import SAID_TIME
from audit.factuality.params import read_certificate_param, read_components, read_table, read_time
from audit.factuality.recomputed import Recomputed
from audit.params import Fields
from audit.registry import Check, Outcome
from conformal.auditing import audit_outputs, statement_holds
from conformal.certificate import Certificate
from conformal.claims import ClaimTable
from conformal.filtering import check_components
from conformal.laws import clopper_pearson

NAME = "factuality.audit"
MAX_CURVE = 200
_VERDICTS: dict[str, Literal["holds", "refuted", "inconclusive"]] = {
    "consistent": "holds", "refuted": "refuted", "not-enough-data": "inconclusive",
}  # fmt: skip


@dataclass(frozen=True)
class AuditParams:
    """`sequential`: the outputs are tested one by one in their order, and the test may stop at any of them."""

    certificate: Certificate
    fresh: ClaimTable
    components: Mapping[str, str | None]
    at: datetime
    level: float
    shortfall: float
    sequential: bool


class FactualityAudit(Recomputed):
    """The registered kind."""

    name = NAME
    title = "A vendor's certificate of factuality agrees with fresh labelled outputs"
    format = "assay-factuality-audit/1"

    def read(self, params: Mapping[str, Any]) -> AuditParams:
        fields = Fields(params, NAME)
        found = AuditParams(
            certificate=read_certificate_param(fields),
            fresh=read_table(fields.take("documents"), "params.documents"),
            components=read_components(fields),
            at=read_time(fields),
            level=fields.number("level", 0.05, 1e-6, 0.5),
            shortfall=fields.number("shortfall", 0.05, 1e-3, 0.9),
            sequential=fields.flag("sequential"),
        )
        fields.done()
        check_components(found.certificate, found.components)
        return found

    def compute(self, asked: AuditParams) -> dict[str, Any]:
        found = audit_outputs(
            asked.certificate, asked.fresh, asked.components, asked.at,
            level=asked.level, shortfall=asked.shortfall, sequential=asked.sequential,
        )  # fmt: skip
        return {**found.to_json(), "figure": _figure(asked)}

    def judge(self, asked: AuditParams, result: Mapping[str, Any]) -> Outcome:
        verdict = _VERDICTS[result["verdict"]]
        checks = [Check("1 certificate", True, f"{result['certificate_sha256'][:16]} recomputed, for these components")]
        checks.append(Check("2 fresh", True, f"{asked.fresh.n_outputs} outputs, none of them among the calibration outputs"))
        for number, found in enumerate(result["groups"], 3):
            who = f"the group {found['group']!r}: " if found["group"] is not None else ""
            right = f"{who}the statement holds on {found['covered']} of {found['m']}, p = {found['p_value']:.4g}"
            own = found["verdict"] if found["betting"] is None else found["betting"]["verdict"]
            if own == "consistent" and found["verdict"] == "refuted":
                own = "not-enough-data"
            checks.append(Check(f"{number} coverage", {"consistent": True, "refuted": False}.get(own), right))
        outputs = {name: result[name] for name in ("groups", "skipped", "figure", "fresh_ledger_sha256")}
        outputs["certificate"] = result["certificate_sha256"]
        return Outcome(verdict, tuple(checks), outputs, (*result["conditions"], SAID_TIME))


def _figure(asked: AuditParams) -> list[dict[str, Any]]:
    """The share of right outputs so far, with intervals, against the promise."""
    right = statement_holds(asked.certificate, asked.fresh)
    counts, total = np.cumsum(right), len(right)
    at = sorted({max(1, round(total * step / MAX_CURVE)) for step in range(1, MAX_CURVE + 1)})
    points = [[float(m), float(counts[m - 1] / m), *clopper_pearson(int(counts[m - 1]), m)] for m in at]
    promised = float(1 - asked.certificate.promise.alpha)
    lines = [{"label": "statement holds, 95 %", "points": points}]
    return [
        {
            "title": "Fresh outputs on which the statement holds", "x": "labelled outputs", "y": "share",
            "x_range": [0.0, float(total)], "y_range": [0.0, 1.0], "marks": [promised], "lines": lines,
        }
    ]  # fmt: skip
