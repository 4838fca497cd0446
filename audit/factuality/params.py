"""Reading the parameters of factuality audits: ledgers of claims, promises, certificates, a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.errors import RequestError
from audit.params import Fields
from conformal.certificate import COMPONENTS, Certificate, parse_time
from conformal.claims import ClaimTable, TableBuilder
from conformal.issuing import make_promise, parse_components
from conformal.labels import LabelPolicy
from conformal.levels import parse_level
from conformal.losses import AtMostFalse, FractionTrue, Loss
from conformal.promise import Promise
from conformal.replay import parse_certificate

MAX_DOCUMENTS = 20_000


def read_outputs(value: Any, where: str) -> list[Mapping[str, Any]]:
    """A list of outputs as a ledger's lines write them. Raises RequestError."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DOCUMENTS:
        raise RequestError(f"{where} must be a list of 1 to {MAX_DOCUMENTS} outputs")
    for index, one in enumerate(value):
        if not isinstance(one, Mapping):
            raise RequestError(f"{where}[{index}] must be an object with id and claims")
    return value


def read_table(value: Any, where: str) -> ClaimTable:
    """The claim table of such a list. Raises RequestError, LedgerError that name the output and the claim."""
    builder = TableBuilder()
    for index, record in enumerate(read_outputs(value, where)):
        builder.add(record, f"{where}[{index}]")
    return builder.finish(where)


def read_time(fields: Fields, name: str = "at") -> datetime:
    """The time of the audit, by the auditor's word. Raises RequestError, CertificateError."""
    value = fields.take(name)
    if value is None:
        raise RequestError(f"params.{name} must be the time of the audit, such as 2026-01-31T00:00:00Z")
    return parse_time(value, f"params.{name}")


def read_loss(fields: Fields) -> Loss:
    """`at_most_false` (a number of claims, 0 by default) or `fraction` (text). Raises RequestError, ConformalError."""
    allowed, fraction = fields.integer("at_most_false", 0, 0, 1000), fields.take("fraction")
    if fraction is None:
        return AtMostFalse(allowed)
    if allowed or not isinstance(fraction, str):
        raise RequestError('params.fraction is a text such as "0.9", and stands instead of at_most_false')
    return FractionTrue.parse(fraction)


def read_policy(fields: Fields) -> LabelPolicy:
    """Whether subjective and unverifiable claims count as true: `subjective_false`, `unverifiable_true`."""
    return LabelPolicy(not fields.flag("subjective_false"), fields.flag("unverifiable_true"))


def read_level(fields: Fields, name: str, default: str | None = None) -> Any:
    """A level as exact text ("0.1", "1/3"); None where it is absent and has no default. Raises RequestError, LevelError."""
    value = fields.take(name, default)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 40:
        raise RequestError(f'params.{name} must be a text such as "0.1" or "1/3": levels are exact')
    return parse_level(value, name)


def read_promise(fields: Fields) -> Promise:
    """The promise of a certificate to be issued. Raises RequestError, ConformalError."""
    score = fields.take("score")
    if not isinstance(score, str):
        raise RequestError("params.score must name the score of the claims")
    alpha = read_level(fields, "alpha")
    if alpha is None:
        raise RequestError('params.alpha must be the level, as text: "0.1"')
    minimum = fields.integer("minimum_n", 1, 1, 1_000_000)
    return make_promise(
        score,
        read_loss(fields),
        alpha,
        policy=read_policy(fields),
        delta=read_level(fields, "delta"),
        by_group=fields.flag("by_group"),
        minimum_n=minimum,
        closed=fields.flag("closed"),
    )


def read_components(fields: Fields) -> dict[str, str | None]:
    """`components`: digests of the model, prompt, splitter, scorer and labeller, as far as they are known."""
    value = fields.take("components", {})
    if not isinstance(value, Mapping):
        raise RequestError(f"params.components must be an object with digests of {', '.join(COMPONENTS)}")
    return parse_components(value)


def read_certificate_param(fields: Fields) -> Certificate:
    """`certificate`: the document itself, recomputed from its scores. Raises RequestError, CertificateError."""
    value = fields.take("certificate")
    if not isinstance(value, dict):
        raise RequestError("params.certificate must be the certificate, a JSON object")
    return parse_certificate(value)
