"""Issuing certificates from labelled outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.calibration import Calibrator
from conformal.certificate import (
    COMPONENTS,
    MAX_ROWS,
    CalibrationRates,
    Certificate,
    HeldOut,
    Row,
    derive_thresholds,
    format_time,
)
from conformal.claims import ClaimTable
from conformal.digests import ledger_digest, output_digests, refuse_overlap
from conformal.documents import smallest_sample
from conformal.errors import CertificateError, GuaranteeError, LedgerError
from conformal.labels import LabelPolicy
from conformal.levels import marginal_rank
from conformal.losses import Comparator, Loss
from conformal.promise import GroupThreshold, Promise, parse_level_text, parse_name
from conformal.rates import Rates, count_rates, leave_one_out_rates

HEX = frozenset("0123456789abcdef")
MAX_DAYS = 3660


def make_promise(
    score: str,
    loss: Loss,
    alpha: Fraction,
    *,
    policy: LabelPolicy | None = None,
    delta: Fraction | None = None,
    by_group: bool = False,
    minimum_n: int | None = None,
    comparator: Comparator = ">",
    closed: bool = False,
) -> Promise:
    """A promise with its defaults: `minimum_n` is never below the least n that has a threshold. Raises CertificateError."""
    parse_level_text(str(alpha), "alpha")
    if delta is not None:
        parse_level_text(str(delta), "delta")
    least = max(smallest_sample(alpha, delta), minimum_n or 1)
    promise = Promise(
        parse_name(score, "the score"), loss, policy or LabelPolicy(), alpha, delta, by_group, least, comparator, closed
    )
    return Promise.parse(promise.to_json())


def issue(
    promise: Promise,
    table: ClaimTable,
    *,
    components: Mapping[str, str | None],
    issued: datetime,
    valid_days: int = 90,
    held_out: ClaimTable | None = None,
    fitted_on: ClaimTable | None = None,
) -> Certificate:
    """The certificate of a labelled table.

    `fitted_on` are the outputs a learned score was fitted on. Raises LedgerError for a table that lacks labels, groups or the
    score, GuaranteeError where tables overlap, an output is there twice or ties break the rule, CertificateError for malformed
    digests or dates.
    """
    if table.n_outputs > MAX_ROWS:
        raise LedgerError(f"a certificate holds at most {MAX_ROWS} calibration outputs, not {table.n_outputs}")
    if not 1 <= valid_days <= MAX_DAYS:
        raise CertificateError(f"a certificate is valid for 1 to {MAX_DAYS} days, not {valid_days}")
    rows = calibration_rows(promise, table)
    refuse_overlap(frozenset(), table, "the calibration outputs")
    known = frozenset(row.digest for row in rows)
    if fitted_on is not None:
        try:
            refuse_overlap(known, fitted_on, "the data of the score")
        except GuaranteeError as error:
            raise GuaranteeError(f"{error}: a score fitted on calibration outputs voids the guarantee") from None
    return Certificate(
        promise=promise,
        rows=rows,
        ledger=ledger_digest(table),
        calibration=calibration_rates(promise, table),
        held_out=None if held_out is None else held_out_rates(promise, rows, held_out),
        fitted_on=None if fitted_on is None else ledger_digest(fitted_on),
        components=parse_components(components),
        issued=format_time(issued),
        expires=format_time(_later(issued, valid_days)),
    )


def calibrator_of(promise: Promise, table: ClaimTable) -> Calibrator:
    """The table seen through the promise. Ties are for `find_group_threshold` to judge."""
    values, truth = table.score(promise.score), table.truth(promise.policy)
    built = Calibrator.build(table, values, truth, promise.loss, ">", promise.closed)
    return replace(built, comparator=promise.comparator)


def calibration_rows(promise: Promise, table: ClaimTable) -> tuple[Row, ...]:
    """One row an output, in the order of the ledger. Raises LedgerError, GuaranteeError."""
    if promise.by_group:
        for identity, group in zip(table.ids, table.groups):
            if group is None:
                raise LedgerError(f"the output {identity!r} has no group; group guarantees need one on every output")
    for group in set(table.groups) - {None}:
        parse_name(group, f"the group {str(group)[:40]!r}")
    conformity = calibrator_of(promise, table).conformity.tolist()
    return tuple(Row(*row) for row in zip(output_digests(table), conformity, table.groups))


def calibration_rates(promise: Promise, table: ClaimTable) -> CalibrationRates:
    """The filter on its own calibration outputs: arithmetic."""
    calibrator = calibrator_of(promise, table)
    found = derive_thresholds(promise, calibration_rows(promise, table))
    low, high = (
        count_rates(calibrator, _per_output(table, {t.group: t.neighbours[side] for t in found}, promise)).retention
        for side in (0, 1)
    )
    single = promise.delta is None and not promise.by_group
    return CalibrationRates(
        rates=count_rates(calibrator, _per_output(table, _values(found), promise)),
        relabelled=(low, high),
        leave_one_out=leave_one_out_rates(calibrator, marginal_rank(table.n_outputs - 1, promise.alpha)) if single else None,
    )


def held_out_rates(promise: Promise, rows: tuple[Row, ...], table: ClaimTable) -> HeldOut:
    """The filter on fresh outputs. Outputs of groups without a threshold abstain. Raises GuaranteeError on overlap."""
    refuse_overlap(frozenset(row.digest for row in rows), table, "the held-out outputs")
    calibrator = calibrator_of(promise, table)
    thresholds = _per_output(table, _values(derive_thresholds(promise, rows)), promise)
    groups = []
    for name in sorted(group for group in set(table.groups) if group is not None):
        chosen = np.flatnonzero(np.array([group == name for group in table.groups]))
        part = calibrator_of(promise, table.select(chosen))
        found: Rates = count_rates(part, thresholds[chosen])
        groups.append((name, found.outputs, found.holds))
    return HeldOut(ledger_digest(table), count_rates(calibrator, thresholds), tuple(groups))


def parse_components(value: Any) -> dict[str, str | None]:
    """The digest (64 hex digits) of every component, or null where it is not given. Raises CertificateError."""
    if not isinstance(value, Mapping) or set(value) - set(COMPONENTS):
        raise CertificateError(f"components are {', '.join(COMPONENTS)}, each a SHA-256 in hex or null")
    found = {name: value.get(name) for name in COMPONENTS}
    for name, text in found.items():
        if text is not None and (not isinstance(text, str) or len(text) != 64 or set(text) - HEX):
            raise CertificateError(f"the digest of the {name} must be 64 lower-case hex digits, not {str(text)[:70]!r}")
    return found


def _later(issued: datetime, days: int) -> datetime:
    try:
        return issued + timedelta(days=days)
    except OverflowError:
        raise CertificateError(f"{days} days after {issued.year} are beyond the calendar") from None


def _values(found: tuple[GroupThreshold, ...]) -> dict[str | None, float]:
    return {threshold.group: threshold.value for threshold in found}


def _per_output(table: ClaimTable, by_group: Mapping[str | None, float], promise: Promise) -> npt.NDArray[np.float64]:
    keys = table.groups if promise.by_group else (None,) * table.n_outputs
    return np.array([by_group.get(key, float("inf")) for key in keys], dtype=np.float64)
