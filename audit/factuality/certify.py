"""`factuality.certify`: the back-off threshold of a labelled ledger, as a certificate that anyone can compute again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from audit.factuality.params import read_components, read_promise, read_table, read_time
from audit.factuality.recomputed import Recomputed
from audit.params import Fields
from audit.registry import Check, Outcome
from conformal.certificate import Certificate
from conformal.claims import ClaimTable
from conformal.issuing import MAX_DAYS, calibrator_of, issue
from conformal.promise import Promise

NAME = "factuality.certify"
LEVELS = tuple(Fraction(step, 40) for step in range(1, 21))


@dataclass(frozen=True)
class CertifyParams:
    """`held_out`: labelled outputs set aside, on which the filter is only measured."""

    promise: Promise
    table: ClaimTable
    held_out: ClaimTable | None
    components: Mapping[str, str | None]
    at: datetime
    valid_days: int


class FactualityCertify(Recomputed):
    """The registered kind."""

    name = NAME
    title = "Claims cut back so that what remains is true with a stated probability, as a certificate"
    format = "assay-factuality-certify/1"

    def read(self, params: Mapping[str, Any]) -> CertifyParams:
        fields = Fields(params, NAME)
        held_out = fields.take("held_out")
        found = CertifyParams(
            promise=read_promise(fields),
            table=read_table(fields.take("documents"), "params.documents"),
            held_out=None if held_out is None else read_table(held_out, "params.held_out"),
            components=read_components(fields),
            at=read_time(fields),
            valid_days=fields.integer("valid_days", 90, 1, MAX_DAYS),
        )
        fields.done()
        return found

    def compute(self, asked: CertifyParams) -> dict[str, Any]:
        certificate = issue(
            asked.promise, asked.table, components=asked.components, issued=asked.at, valid_days=asked.valid_days,
            held_out=asked.held_out,
        )  # fmt: skip
        return {"certificate": certificate.to_json(), "figure": _figure(asked, certificate)}

    def judge(self, asked: CertifyParams, result: Mapping[str, Any]) -> Outcome:
        certificate = result["certificate"]
        abstains = all(found["abstains_always"] for found in certificate["thresholds"])
        usable = "too few outputs: it abstains always" if abstains else "it has a threshold"
        checks = (
            Check("1 ledger", True, f"{asked.table.n_outputs} outputs with {asked.table.n_claims} labelled claims"),
            Check("2 replay", True, f"certificate {certificate['sha256'][:16]} follows from them"),
            Check("3 usable", None if abstains else True, usable),
        )
        outputs = {
            "certificate": certificate["sha256"],
            "alpha": certificate["promise"]["alpha"],
            "mode": certificate["promise"]["mode"],
            "thresholds": certificate["thresholds"],
            "calibration": certificate["calibration"],
            "held_out": certificate["held_out"],
            "expires": certificate["expires"],
            "figure": result["figure"],
        }
        return Outcome("inconclusive" if abstains else "holds", checks, outputs, tuple(certificate["conditions"]))


def _figure(asked: CertifyParams, certificate: Certificate) -> list[dict[str, Any]]:
    """What every level would keep, and the coverage that it has (marginal mode, all outputs together)."""
    calibrator = calibrator_of(asked.promise, asked.table)
    kept, empty, coverage = [], [], []
    for alpha in LEVELS:
        found = calibrator.threshold(alpha)
        summary = calibrator.summarise(found.value)
        kept.append([float(alpha), summary.retention])
        empty.append([float(alpha), summary.empty])
        coverage.append([float(alpha), found.expected_coverage, *found.interval])
    own = [float(asked.promise.alpha)] if asked.promise.alpha <= LEVELS[-1] else []
    span = {"x": "level alpha", "x_range": [0.0, float(LEVELS[-1])], "y_range": [0.0, 1.0]}
    lines = [{"label": "claims kept", "points": kept}, {"label": "outputs left empty", "points": empty}]
    return [
        {**span, "title": "What the filter keeps", "y": "share of calibration data", "marks": [], "lines": lines},
        {
            **span, "title": "Coverage of an honest filter", "y": "true coverage", "marks": [1 - alpha for alpha in own],
            "lines": [{"label": "expected, 95 %", "points": coverage}],
        },
    ]  # fmt: skip
