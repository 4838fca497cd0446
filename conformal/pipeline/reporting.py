"""Figures of a finished run: what was kept, what was not, and why. Abstentions are counted, never hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from conformal.pipeline.ledger import ScoredOutput


def summarise(outputs: Sequence[ScoredOutput], failures: Mapping[str, int]) -> dict[str, Any]:
    """Counts over the scored ledger. `unscored` are claims without that score, which no threshold keeps."""
    names = sorted({name for output in outputs for name in output.scores})
    return {
        "outputs": len(outputs),
        "claims": sum(len(output.claims) for output in outputs),
        "split_failed": sum(output.error is not None for output in outputs),
        "without_claims": sum(output.error is None and not output.claims for output in outputs),
        "failures": dict(failures),
        "unscored": {name: sum(score is None for output in outputs for score in output.scores[name]) for name in names},
    }


def summarise_filtered(outputs: Sequence[ScoredOutput], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares after back-off; `violation_rate` is over the outputs that kept a claim, None where there is none."""
    told = [row for row in rows if not row["abstained"]]
    violating = sum(bool(row["added"] or row["omitted"] or row["replaced"]) for row in told)
    shares = [len(row["kept"]) / len(o.claims) for o, row in zip(outputs, rows, strict=True) if o.claims]
    return {
        "abstained": len(rows) - len(told),
        "abstentions_by_reason": dict(sorted(Counter(row["reason"] for row in rows if row["abstained"]).items())),
        "retention": sum(shares) / len(shares) if shares else None,
        "merge_violations": violating,
        "violation_rate": violating / len(told) if told else None,
        "statements_added": sum(len(row["added"]) for row in told),
        "claims_omitted": sum(len(row["omitted"]) for row in told),
    }
