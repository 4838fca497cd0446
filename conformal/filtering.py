"""The filter of a certificate, failing closed: no score, no claim; no valid certificate, no claims; never the original text.

It reads outputs that nobody vouches for: whatever is malformed, unscored or outside the certificate is dropped and counted
with its reason. Where dropping a claim for another reason than its score would leave a set the certificate does not speak of
(a fraction of true claims), the whole output abstains: the empty set satisfies every statement.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from conformal.certificate import DEPLOYED, Certificate, parse_time
from conformal.claims import MAX_CLAIMS, MAX_ID_CHARS, MAX_OUTPUTS
from conformal.errors import CertificateError, LedgerError
from conformal.issuing import parse_components
from conformal.losses import AtMostFalse
from conformal.promise import GroupThreshold

Reason = Literal[
    "below-threshold", "score-missing", "score-not-finite", "premise-dropped", "claim-malformed",
    "certificate-not-valid-now", "always-abstains", "unknown-group", "output-malformed", "id-repeated", "error-reported",
    "set-not-certified", "no-claims", "no-claim-survived",
]  # fmt: skip


@dataclass(frozen=True)
class KeptClaim:
    """A claim that the certificate lets through, by its place in the output."""

    index: int
    text: str


@dataclass(frozen=True)
class Filtered:
    """One output: the kept claims, or an abstention and its reason. `dropped`: place and reason of every other claim."""

    id: str | None
    kept: tuple[KeptClaim, ...]
    dropped: tuple[tuple[int, Reason], ...]
    abstention: Reason | None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kept": [{"index": claim.index, "text": claim.text} for claim in self.kept],
            "dropped": [{"index": index, "reason": reason} for index, reason in self.dropped],
            "abstains": self.abstention is not None,
            "reason": self.abstention,
        }


@dataclass(frozen=True)
class FilterResult:
    """All outputs in their order, and what was counted."""

    certificate: str
    outputs: tuple[Filtered, ...]

    def to_json(self) -> dict[str, Any]:
        reasons = Counter(found.abstention for found in self.outputs if found.abstention is not None)
        dropped = Counter(reason for found in self.outputs for _, reason in found.dropped)
        return {
            "certificate_sha256": self.certificate,
            "counts": {
                "outputs": len(self.outputs),
                "abstentions": sum(reasons.values()),
                "kept_claims": sum(len(found.kept) for found in self.outputs),
                "dropped_claims": sum(dropped.values()),
                "abstentions_by_reason": dict(sorted(reasons.items())),
                "dropped_by_reason": dict(sorted(dropped.items())),
            },
            "outputs": [found.to_json() for found in self.outputs],
        }


def check_components(certificate: Certificate, in_use: Mapping[str, str | None]) -> None:
    """That the model, prompt, splitter and scorer in use are those of the certificate, given on both sides or on neither.

    Raises CertificateError naming the component that differs.
    """
    used = parse_components(in_use)
    for name in DEPLOYED:
        own, other = certificate.components[name], used[name]
        if own != other:
            told = "is not given" if other is None else f"has the digest {other[:16]}..."
            issued = "says nothing of it" if own is None else f"was issued for {own[:16]}..."
            raise CertificateError(f"the {name} in use {told}, the certificate {issued}: it does not apply here")


def is_valid_at(certificate: Certificate, now: datetime) -> bool:
    """Whether the certificate was issued and has not expired."""
    if now.tzinfo is None:
        raise CertificateError("the time of a filter needs a time zone")
    moment = now.astimezone(UTC)
    return parse_time(certificate.issued, "issued") <= moment < parse_time(certificate.expires, "expires")


def filter_outputs(
    certificate: Certificate, outputs: Iterable[Any], in_use: Mapping[str, str | None], now: datetime
) -> FilterResult:
    """Filter outputs as the ledger writes them (labels are not looked at). One result an output, whatever is wrong with it.

    Raises CertificateError when a component in use is not the certificate's; outside its time every output abstains.
    """
    check_components(certificate, in_use)
    valid = is_valid_at(certificate, now)
    found: list[Filtered] = []
    seen: set[str] = set()
    total = 0
    for output in outputs:
        found.append(_filter_output(certificate, output, valid, seen))
        total += len(found[-1].dropped) + len(found[-1].kept)
        if len(found) > MAX_OUTPUTS or total > MAX_CLAIMS:
            raise LedgerError(f"a filter reads at most {MAX_OUTPUTS} outputs and {MAX_CLAIMS} claims at once")
    return FilterResult(certificate.sha256, tuple(found))


def _filter_output(certificate: Certificate, output: Any, valid: bool, seen: set[str]) -> Filtered:
    identity = output.get("id") if isinstance(output, Mapping) else None
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_CHARS or not isinstance(output.get("claims"), list):
        return Filtered(None, (), (), "output-malformed")
    claims = output["claims"]
    reason = _abstention(certificate, output, identity, valid, seen)
    seen.add(identity)
    if reason is not None:
        return Filtered(identity, (), tuple((i, reason) for i in range(len(claims))), reason)
    threshold = certificate.threshold_for(_group(output))
    assert threshold is not None  # _abstention found it
    reasons = _judge(certificate, claims, threshold)
    if not _is_certified(certificate, reasons):
        reasons = [reason or "set-not-certified" for reason in reasons]
        abstention: Reason | None = "set-not-certified"
    else:
        abstention = None if None in reasons else "no-claim-survived"
    kept = tuple(KeptClaim(i, claims[i]["text"]) for i, reason in enumerate(reasons) if reason is None)
    return Filtered(identity, kept, tuple((i, reason) for i, reason in enumerate(reasons) if reason is not None), abstention)


def _is_certified(certificate: Certificate, reasons: list[Reason | None]) -> bool:
    """Whether the certificate speaks of the set that is left: any part of a certified set may be dropped if what counts is the
    number of false claims, none if it is the share of true ones."""
    certified = {None, "below-threshold", *(("premise-dropped",) if certificate.promise.closed else ())}
    return isinstance(certificate.promise.loss, AtMostFalse) or certified.issuperset(reasons)


def _abstention(certificate: Certificate, output: Mapping[str, Any], identity: str, valid: bool, seen: set[str]) -> Reason | None:
    """Why the whole output abstains, whatever its claims."""
    if not valid:
        return "certificate-not-valid-now"
    if identity in seen:
        return "id-repeated"
    if output.get("error") is not None:
        return "error-reported"
    if not output["claims"]:
        return "no-claims"
    threshold = certificate.threshold_for(_group(output))
    if threshold is None:
        return "unknown-group"
    return "always-abstains" if threshold.abstains else None


def _group(output: Mapping[str, Any]) -> str | None:
    group = output.get("group")
    return group if isinstance(group, str) else None


def _judge(certificate: Certificate, claims: list[Any], threshold: GroupThreshold) -> list[Reason | None]:
    """The reason why each claim goes; None for those that stay. Premises come before what rests on them."""
    promise = certificate.promise
    reasons: list[Reason | None] = []
    for index, claim in enumerate(claims):
        reasons.append(_judge_claim(claim, index, promise.score, threshold.value, promise.comparator, reasons))
    return reasons


def _judge_claim(
    claim: Any, index: int, score: str, threshold: float, comparator: str, before: list[Reason | None]
) -> Reason | None:
    if not isinstance(claim, Mapping) or not isinstance(claim.get("text"), str) or not claim["text"].strip():
        return "claim-malformed"
    premises, scores = claim.get("premises", []), claim.get("scores")
    if not isinstance(premises, list) or not all(type(p) is int and 0 <= p < index for p in premises):
        return "claim-malformed"
    value = scores.get(score) if isinstance(scores, Mapping) else None
    if value is None:
        return "score-missing"
    number = _finite(value)
    if number is None:
        return "score-not-finite"
    if not (number > threshold or (comparator == ">=" and number == threshold)):
        return "below-threshold"
    return "premise-dropped" if any(before[p] is not None for p in premises) else None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
