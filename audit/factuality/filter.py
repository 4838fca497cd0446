"""`factuality.filter`: outputs cut back by a certificate, failing closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.factuality.params import read_certificate_param, read_components, read_outputs, read_time
from audit.factuality.recomputed import Recomputed
from audit.params import Fields
from audit.registry import Check, Outcome
from conformal.certificate import Certificate
from conformal.filtering import check_components, filter_outputs

NAME = "factuality.filter"
SAID_TIME = "that the certificate was valid is judged at the time which the request gives"


@dataclass(frozen=True)
class FilterParams:
    """`components` in use must be those of the certificate."""

    certificate: Certificate
    documents: Sequence[Mapping[str, Any]]
    components: Mapping[str, str | None]
    at: datetime


class FactualityFilter(Recomputed):
    """The registered kind."""

    name = NAME
    title = "Outputs are cut back to the claims that a certificate lets through"
    format = "assay-factuality-filter/1"

    def read(self, params: Mapping[str, Any]) -> FilterParams:
        fields = Fields(params, NAME)
        found = FilterParams(
            certificate=read_certificate_param(fields),
            documents=read_outputs(fields.take("documents"), "params.documents"),
            components=read_components(fields),
            at=read_time(fields),
        )
        fields.done()
        check_components(found.certificate, found.components)
        return found

    def compute(self, asked: FilterParams) -> dict[str, Any]:
        return filter_outputs(asked.certificate, asked.documents, asked.components, asked.at).to_json()

    def judge(self, asked: FilterParams, result: Mapping[str, Any]) -> Outcome:
        counts = result["counts"]
        silent = counts["abstentions"] == counts["outputs"]
        checks = (
            Check("1 certificate", True, f"{result['certificate_sha256'][:16]} recomputed, for these components"),
            Check("2 filter", True, f"{counts['kept_claims']} claims kept, {counts['dropped_claims']} dropped"),
            Check("3 answers", None if silent else True, f"{counts['abstentions']} of {counts['outputs']} outputs abstain"),
        )
        outputs = {"certificate": result["certificate_sha256"], "counts": counts, "outputs": result["outputs"]}
        conditions = (*asked.certificate.to_json()["conditions"], SAID_TIME)
        return Outcome("inconclusive" if silent else "holds", checks, outputs, conditions)
