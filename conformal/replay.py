"""Reading and replaying certificates: everything that follows from something else is computed again and compared by the byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformal.certificate import (
    FORMAT,
    MAX_BYTES,
    MAX_ROWS,
    CalibrationRates,
    Certificate,
    HeldOut,
    Row,
    parse_time,
)
from conformal.claims import ClaimTable
from conformal.digests import ledger_digest
from conformal.documents import canonical, parse_canonical, parse_float
from conformal.errors import CertificateError, ConformalError
from conformal.issuing import HEX, MAX_DAYS, calibration_rates, calibration_rows, held_out_rates, parse_components
from conformal.levels import marginal_rank
from conformal.losses import AtMostFalse
from conformal.promise import Promise, parse_name
from conformal.rates import Rates, without_each

_MEMBERS = {
    "format", "promise", "thresholds", "conditions", "data", "calibration", "held_out", "score_fitted_on_ledger_sha256",
    "components", "issued", "expires", "sha256",
}  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A replay that found nothing wrong. `held_out`: whether the held-out figures were computed again too."""

    certificate: str
    outputs: int
    held_out: bool

    def to_json(self) -> dict[str, Any]:
        return {"verdict": "holds", "certificate_sha256": self.certificate, "outputs": self.outputs, "held_out": self.held_out}


def read_certificate(data: bytes) -> Certificate:
    """The certificate in canonical bytes, recomputed from its scores. Raises CertificateError for every altered byte."""
    return parse_certificate(parse_canonical(data, "the certificate", MAX_BYTES))


def parse_certificate(value: Any) -> Certificate:
    """The certificate in a JSON value, recomputed from its scores. Raises CertificateError naming the member that differs."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CertificateError(f"this is no certificate: its format must be {FORMAT!r}")
    if set(value) != _MEMBERS:
        raise CertificateError(f"a certificate has the members {', '.join(sorted(_MEMBERS))} and no others")
    try:
        found = _rebuild(value)
        _check_counts(found)
        expected = found.to_json()
    except CertificateError:
        raise
    except ConformalError as error:
        raise CertificateError(f"the certificate contradicts itself: {error}") from None
    where = _difference(value, expected, "certificate")
    if where is not None:
        raise CertificateError(f"{where} does not follow from the rest of the certificate: it was altered, or computed wrongly")
    return found


def replay(certificate: Certificate, table: ClaimTable, held_out: ClaimTable | None = None) -> Replay:
    """Compute the whole certificate again from its ledger. Raises CertificateError naming the first member that differs."""
    if ledger_digest(table) != certificate.ledger:
        raise CertificateError("the ledger is not the one this certificate was issued on: its digest differs")
    if held_out is not None and (certificate.held_out is None or ledger_digest(held_out) != certificate.held_out.ledger):
        raise CertificateError("the held-out ledger is not the one this certificate speaks of")
    try:
        rows = calibration_rows(certificate.promise, table)
        again = replace(certificate, rows=rows, calibration=calibration_rates(certificate.promise, table))
        if held_out is not None:
            again = replace(again, held_out=held_out_rates(certificate.promise, rows, held_out))
    except ConformalError as error:
        raise CertificateError(f"the ledger does not give this certificate: {error}") from None
    where = _difference(certificate.to_json(), again.to_json(), "certificate", skip=("sha256",))
    if where is not None:
        raise CertificateError(f"{where} is not what the ledger gives: the certificate was altered, or computed wrongly")
    return Replay(certificate.sha256, len(rows), held_out is not None)


def _rebuild(value: dict[str, Any]) -> Certificate:
    issued, expires = parse_time(value["issued"], "issued"), parse_time(value["expires"], "expires")
    if not issued < expires or (expires - issued).days > MAX_DAYS:
        raise CertificateError(f"a certificate expires after it is issued, within {MAX_DAYS} days")
    promise = Promise.parse(value["promise"])
    if promise.minimum_n < promise.least_n:
        raise CertificateError(f"minimum_n must be at least {promise.least_n} at this level")
    return Certificate(
        promise=promise,
        rows=_rows(value["data"]),
        ledger=_hex(value["data"].get("ledger_sha256"), "ledger_sha256"),
        calibration=_calibration(value["calibration"]),
        held_out=None if value["held_out"] is None else _held_out(value["held_out"]),
        fitted_on=_optional_hex(value["score_fitted_on_ledger_sha256"], "score_fitted_on_ledger_sha256"),
        components=parse_components(value["components"]),
        issued=value["issued"],
        expires=value["expires"],
    )


def _check_counts(certificate: Certificate) -> None:
    """The counts that follow from the scores in the document: a statement holds wherever the threshold lies above the score."""
    calibration, rows, promise = certificate.calibration, certificate.rows, certificate.promise
    single = promise.delta is None and not promise.by_group
    if len(certificate.output_digests) != len(rows):
        raise CertificateError("data.rows holds an output twice; every calibration output counts once")
    held_out = certificate.held_out
    if certificate.ledger in (certificate.fitted_on, held_out.ledger if held_out else None):
        raise CertificateError("the calibration ledger cannot be the held-out one, nor the one the score was fitted on")
    if (calibration.leave_one_out is not None) != single:
        raise CertificateError("leave-one-out figures belong to a marginal certificate with one threshold, and to no other")
    values = [certificate.threshold_for(row.group) for row in rows]
    _check_holds(certificate, calibration.rates, [found.value if found else float("inf") for found in values], "rates")
    if calibration.leave_one_out is not None:
        scores = [row.conformity for row in rows]
        without = without_each(scores, marginal_rank(len(rows) - 1, promise.alpha))
        _check_holds(certificate, calibration.leave_one_out, without, "leave_one_out")


def _check_holds(certificate: Certificate, rates: Rates, thresholds: Sequence[float], what: str) -> None:
    strict = certificate.promise.comparator == ">"
    pairs = zip((row.conformity for row in certificate.rows), thresholds)
    least = sum(q == float("inf") or r == float("-inf") or r < q or (strict and r == q) for r, q in pairs)
    fits = rates.holds == least if isinstance(certificate.promise.loss, AtMostFalse) else rates.holds >= least
    if not fits or rates.outputs != len(certificate.rows) or rates.claims != certificate.calibration.rates.claims:
        raise CertificateError(f"certificate.calibration.{what} does not follow from the conformity scores: it was altered")


def _rows(data: Any) -> tuple[Row, ...]:
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise CertificateError(f"data.rows must be a list of 1 to {MAX_ROWS} calibration outputs")
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 3:
            raise CertificateError(f"data.rows[{index}] must be [digest, conformity score, group]")
        group = None if row[2] is None else parse_name(row[2], f"the group of data.rows[{index}]")
        score = parse_float(row[1], f"the conformity score of data.rows[{index}]")
        if score == float("inf"):
            raise CertificateError(f"data.rows[{index}]: a conformity score is a score of a claim, or -Infinity")
        found.append(Row(_hex(row[0], f"the digest of data.rows[{index}]"), score, group))
    return tuple(found)


def _calibration(value: Any) -> CalibrationRates:
    if not isinstance(value, dict):
        raise CertificateError("calibration must be an object")
    rates = Rates.parse(value.get("rates"), "calibration.rates")
    left = value.get("leave_one_out")
    relabelled = value.get("retention_if_one_output_is_relabelled")
    if not isinstance(relabelled, list) or len(relabelled) != 2:
        raise CertificateError("calibration.retention_if_one_output_is_relabelled must be two figures")
    for text in relabelled:
        Rates.parse({**rates.to_json(), "retention": text}, "calibration.retention_if_one_output_is_relabelled")
    loo = None if left is None else Rates.parse(left, "calibration.leave_one_out")
    return CalibrationRates(rates, (relabelled[0], relabelled[1]), loo)


def _held_out(value: Any) -> HeldOut:
    if not isinstance(value, dict) or not isinstance(value.get("groups"), list) or len(value["groups"]) > MAX_ROWS:
        raise CertificateError("held_out must be an object with rates and groups")
    rates, groups = Rates.parse(value.get("rates"), "held_out.rates"), []
    for index, entry in enumerate(value["groups"]):
        where = f"held_out.groups[{index}]"
        if not isinstance(entry, dict) or set(entry) != {"group", "outputs", "holds"}:
            raise CertificateError(f"{where} must have group, outputs and holds")
        outputs, holds = entry["outputs"], entry["holds"]
        if type(outputs) is not int or type(holds) is not int or not 0 <= holds <= outputs <= rates.outputs:
            raise CertificateError(f"{where}: the figures do not fit together")
        groups.append((parse_name(entry["group"], where), outputs, holds))
    names, outputs, holds = zip(*groups) if groups else ((), (), ())
    if list(names) != sorted(set(names)) or sum(outputs) > rates.outputs or sum(holds) > rates.holds:
        raise CertificateError("held_out.groups: the figures do not fit together")
    return HeldOut(_hex(value.get("ledger_sha256"), "held_out.ledger_sha256"), rates, tuple(groups))


def _hex(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - HEX:
        raise CertificateError(f"{what} must be 64 lower-case hex digits")
    return value


def _optional_hex(value: Any, what: str) -> str | None:
    return None if value is None else _hex(value, what)


def _difference(found: Any, expected: Any, where: str, skip: tuple[str, ...] = ()) -> str | None:
    """The path of the first member that differs, `sha256` last. Compared by canonical bytes: true is not 1."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted(set(found) | set(expected), key=lambda name: (name == "sha256", name)):
            if name in skip:
                continue
            if name not in found or name not in expected:
                return f"{where}.{name}"
            deeper = _difference(found[name], expected[name], f"{where}.{name}")
            if deeper is not None:
                return deeper
        return None
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected))
        return next((deep for i, (a, b) in pairs if (deep := _difference(a, b, f"{where}[{i}]")) is not None), None)
    return None if canonical(found) == canonical(expected) else where
