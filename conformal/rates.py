"""What a filter did to a set of outputs, in whole numbers and exact rationals."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.calibration import Calibrator
from conformal.documents import rate_text
from conformal.errors import CertificateError
from conformal.losses import kept_claims

MAX_COUNT = 10**9
_RATE = re.compile(r"0\.[0-9]{9}|1\.0{9}")


@dataclass(frozen=True)
class Rates:
    """`holds` outputs satisfy the statement, `empty` had claims and lost all of them; `retention` is the mean share of claims
    kept an output (one without claims counts as 1), nine decimals."""

    outputs: int
    holds: int
    empty: int
    claims: int
    kept: int
    retention: str

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    @classmethod
    def parse(cls, value: Any, what: str) -> Rates:
        """Counts that fit together. Raises CertificateError."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or set(value) != set(names):
            raise CertificateError(f"{what} must have the members {', '.join(names)} and no others")
        counts = [value[name] for name in names[:-1]]
        if any(type(count) is not int or not 0 <= count <= MAX_COUNT for count in counts):
            raise CertificateError(f"{what}: counts must be whole numbers from 0 to {MAX_COUNT}")
        text = value["retention"]
        shaped = isinstance(text, str) and _RATE.fullmatch(text) is not None
        found = cls(**value)
        if not shaped or found.holds > found.outputs or found.empty > found.outputs or found.kept > found.claims:
            raise CertificateError(f"{what}: the figures do not fit together")
        return found


def count_rates(calibrator: Calibrator, thresholds: npt.NDArray[np.float64]) -> Rates:
    """The filter with one threshold an output (n) on the calibrator's outputs. +Infinity keeps nothing."""
    table = calibrator.table
    per_claim = thresholds[table.owners]
    kept = kept_claims(calibrator.scores, per_claim, calibrator.comparator) & (per_claim != np.inf)  # type: ignore[arg-type]
    counts = np.bincount(table.owners, weights=kept, minlength=table.n_outputs).astype(np.int64)
    sizes = np.diff(table.offsets)
    total = Fraction(int((sizes == 0).sum()))
    for size in np.unique(sizes[sizes > 0]).tolist():
        total += Fraction(int(counts[sizes == size].sum()), size)
    return Rates(
        outputs=table.n_outputs,
        holds=int(calibrator.loss.holds(table, kept, calibrator.truth).sum()),
        empty=int(((counts == 0) & (sizes > 0)).sum()),
        claims=table.n_claims,
        kept=int(kept.sum()),
        retention=rate_text(total / table.n_outputs) if table.n_outputs else rate_text(Fraction(1)),
    )


def leave_one_out_rates(calibrator: Calibrator, rank: int | None) -> Rates:
    """Every output filtered by the `rank`-th of the others' scores (None: abstain). Arithmetic, not evidence."""
    return count_rates(calibrator, np.array(without_each(calibrator.conformity.tolist(), rank)))


def without_each(conformity: Sequence[float], rank: int | None) -> list[float]:
    """For every output the `rank`-th smallest score of the others; +Infinity where there is none."""
    if rank is None:
        return [float("inf")] * len(conformity)
    ordered = sorted(conformity)
    return [ordered[rank] if bisect_left(ordered, own) < rank else ordered[rank - 1] for own in conformity]
