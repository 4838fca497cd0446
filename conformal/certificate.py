"""Certificates: the promise, the conformity scores it rests on, and every number that follows, as one canonical document.

A reader recomputes rank, threshold, interval, limits and conditions from the scores in the document and refuses it where one
differs; `conformal.replay` recomputes the scores and rates from the ledger as well. Who issued it is said by the signed
envelope around it. Laws: arXiv 2402.10978, theorem 4.1; Vovk, arXiv 1209.2673.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from conformal.conditions import write_conditions
from conformal.documents import canonical, digest, float_text
from conformal.errors import CertificateError
from conformal.promise import GroupThreshold, Promise, find_group_threshold
from conformal.rates import Rates

FORMAT = "assay-conformal-certificate/1"
MAX_ROWS = 100_000
MAX_BYTES = 11 * 1024 * 1024
DEPLOYED = ("model", "prompt", "splitter", "scorer")
COMPONENTS = (*DEPLOYED, "labeller")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
ARITHMETIC = "arithmetic on the calibration outputs, not evidence"


@dataclass(frozen=True)
class Row:
    """One calibration output: its digest, conformity score and group."""

    digest: str
    conformity: float
    group: str | None


@dataclass(frozen=True)
class CalibrationRates:
    """The filter on its own calibration outputs: arithmetic. `relabelled`: retention at the lower and the higher neighbour of
    every threshold; `leave_one_out` only where one threshold serves all outputs in marginal mode."""

    rates: Rates
    relabelled: tuple[str, str]
    leave_one_out: Rates | None

    def to_json(self) -> dict[str, Any]:
        return {
            "note": ARITHMETIC,
            "rates": self.rates.to_json(),
            "retention_if_one_output_is_relabelled": list(self.relabelled),
            "leave_one_out": None if self.leave_one_out is None else self.leave_one_out.to_json(),
        }


@dataclass(frozen=True)
class HeldOut:
    """The filter on fresh outputs that the issuer set aside. `groups`: (name, outputs, outputs on which the statement holds)."""

    ledger: str
    rates: Rates
    groups: tuple[tuple[str, int, int], ...]

    def to_json(self) -> dict[str, Any]:
        groups = [{"group": name, "outputs": outputs, "holds": holds} for name, outputs, holds in self.groups]
        return {"ledger_sha256": self.ledger, "rates": self.rates.to_json(), "groups": groups}


@dataclass(frozen=True)
class Certificate:
    """`thresholds` follow from promise and rows; raises GuaranteeError where they cannot."""

    promise: Promise
    rows: tuple[Row, ...]
    ledger: str
    calibration: CalibrationRates
    held_out: HeldOut | None
    fitted_on: str | None
    components: Mapping[str, str | None]
    issued: str
    expires: str
    thresholds: tuple[GroupThreshold, ...] = field(init=False)
    _by_group: Mapping[str | None, GroupThreshold] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", derive_thresholds(self.promise, self.rows))
        object.__setattr__(self, "_by_group", {found.group: found for found in self.thresholds})

    def threshold_for(self, group: str | None) -> GroupThreshold | None:
        """The threshold of an output of that group; None where the certificate has none."""
        if not self.promise.by_group:
            return self.thresholds[0]
        return None if group is None else self._by_group.get(group)

    @property
    def output_digests(self) -> frozenset[str]:
        return frozenset(row.digest for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        body = {
            "format": FORMAT,
            "promise": self.promise.to_json(),
            "thresholds": [found.to_json() for found in self.thresholds],
            "conditions": write_conditions(self.promise, self.thresholds, self.components, self.fitted_on),
            "data": {
                "ledger_sha256": self.ledger,
                "outputs": len(self.rows),
                "rows": [[row.digest, float_text(row.conformity), row.group] for row in self.rows],
            },
            "calibration": self.calibration.to_json(),
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "score_fitted_on_ledger_sha256": self.fitted_on,
            "components": dict(self.components),
            "issued": self.issued,
            "expires": self.expires,
        }
        return {**body, "sha256": digest(body)}

    @property
    def sha256(self) -> str:
        """Digest of everything else in the document."""
        return str(self.to_json()["sha256"])

    def to_bytes(self) -> bytes:
        """Canonical bytes. Raises CertificateError when there are more than MAX_BYTES."""
        data = canonical(self.to_json())
        if len(data) > MAX_BYTES:
            raise CertificateError(f"the certificate would have {len(data)} bytes; at most {MAX_BYTES} can be read again")
        return data


def derive_thresholds(promise: Promise, rows: tuple[Row, ...]) -> tuple[GroupThreshold, ...]:
    """One threshold, or one a group in the order of their names."""
    if not promise.by_group:
        return (find_group_threshold(promise, None, [row.conformity for row in rows]),)
    members: dict[str, list[float]] = {}
    for row in rows:
        if row.group is None:
            raise CertificateError("a certificate by group needs a group on every calibration output")
        members.setdefault(row.group, []).append(row.conformity)
    return tuple(find_group_threshold(promise, name, members[name]) for name in sorted(members))


def format_time(moment: datetime) -> str:
    """UTC to the second, as certificates write it."""
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(text: Any, what: str) -> datetime:
    """Inverse of `format_time`; no other spelling. Raises CertificateError."""
    try:
        moment = datetime.strptime(text, _TIME).replace(tzinfo=UTC) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or format_time(moment) != text:
        raise CertificateError(f"{what} must be a time such as 2026-01-31T00:00:00Z, not {str(text)[:40]!r}")
    return moment
