"""Offline verification of a report: bytes in, a verdict out. No network, clock, database or service code.

Checks, numbered as they are printed:

    1 envelope    the signature over exactly these bytes, by an accepted key
    2 statement   payload type and schema
    3 evidence    every listed file is there with its digest, and no other
    4 request     the request is the one whose digest the statement holds; its subject is the statement's
    5 publication the provider signed exactly the published files, for this subject, with the key it registered; or, where the
                  service ran the audit itself, the subject is the digest of what the evidence carries
    6 recheck     the kind of audit, run again over the evidence, gives the same outcome
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.dsse import IN_TOTO_TYPE, MAX_ENVELOPE_BYTES, read_envelope, verify_envelope
from audit.errors import AuditError, ReportError, RequestError
from audit.evidence import FileRef, Manifest
from audit.publications import check_published
from audit.registry import Check, CheckContext, Registry, Verdict, check_runs_on
from audit.rendering import render_figure, render_text
from audit.reports import (
    ANSWER_FOLDER,
    ENVELOPE_NAME,
    EVIDENCE_FOLDER,
    FIGURE_NAME,
    PUBLISHED_FOLDER,
    REQUEST_NAME,
    TEXT_NAME,
    parse_evidence,
    parse_statement,
)
from audit.requests import SERVICE, AuditRequest, audit_id_of, parse_request
from audit.signing import PublicKey
from audit.subjects import check_subject

MAX_STRAYS, MAX_STRAY_CHARS = 8, 60
UNPINNED = (
    "the signer was not pinned: the report is signed by the key it names itself; give the service's public key to know who signed"
)
RUN_BY_SERVICE = "the service ran this audit: what cannot be recomputed from the evidence is the word of the signer"


@dataclass(frozen=True)
class ReportVerdict:
    """What offline verification found. `statement` is None when the envelope did not verify.

    `refuted` covers both a report whose evidence contradicts the claim and a report that contradicts its evidence;
    `checks` say which.
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    conditions: tuple[str, ...]
    outputs: Mapping[str, Any]
    statement: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.verdict == "holds",
            "verdict": self.verdict,
            "checks": [check.to_json() for check in self.checks],
            "conditions": list(self.conditions),
            "outputs": dict(self.outputs),
        }


def verify_report(
    files: Mapping[str, bytes],
    registry: Registry,
    accepted: Sequence[PublicKey] = (),
    providers: Sequence[PublicKey] = (),
) -> ReportVerdict:
    """Verify the files of a report (names relative to its folder).

    With `accepted` empty, the key named in the statement is used and the result carries the condition `UNPINNED`. With
    `providers` empty, the result carries the provider's key as a condition; otherwise that key must be among them. Outputs
    are given only when the recheck agrees with them. Never raises on the contents of `files`; raises ReportError only when
    there is no envelope at all.
    """
    envelope = files.get(ENVELOPE_NAME)
    if envelope is None:
        raise ReportError(f"there is no {ENVELOPE_NAME}")
    checks: list[Check] = []
    try:
        # --- 1 envelope, 2 statement
        statement, key_id = _open_envelope(envelope, accepted)
        checks.append(Check("1 envelope", True, f"signed by key {key_id[:16]}"))
        checks.append(Check("2 statement", True, "an in-toto statement of a report"))
        # --- 3 evidence
        manifest = _check_evidence(statement, files)
        checks.append(Check("3 evidence", True, f"{len(manifest)} files match their digests"))
        # --- 4 request
        request = _check_request(statement, files)
        checks.append(Check("4 request", True, f"request {request.sha256[:16]} on {request.subject.name}"))
        # --- 5 publication
        detail, source = _check_source(request, manifest, files, providers, registry)
        checks.append(Check("5 publication", True, detail))
    except _Refusal as refusal:
        failed = Check(refusal.check, False, refusal.detail)
        return ReportVerdict("refuted", (*checks, failed), (), {}, None)
    # --- 6 recheck
    predicate = statement["predicate"]
    conditions = [] if accepted else [UNPINNED]
    conditions += source
    conditions += predicate["conditions"]
    conditions += _describe_strays(statement, files)
    if request.kind not in registry:
        checks.append(Check("6 recheck", False, f"this version does not know the kind {request.kind}"))
        return ReportVerdict("inconclusive", tuple(checks), tuple(conditions), {}, statement)
    recheck, verdict = _recheck(statement, request, manifest, files, registry)
    checks.append(recheck)
    outputs = predicate["outputs"] if recheck.ok else {}
    return ReportVerdict(verdict, tuple(checks), tuple(conditions), outputs, statement)


class _Refusal(Exception):
    """A numbered check failed; verification stops there."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(detail)
        self.check, self.detail = check, detail


def _open_envelope(envelope: bytes, accepted: Sequence[PublicKey]) -> tuple[dict[str, Any], str]:
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise _Refusal("1 envelope", f"the envelope has more than {MAX_ENVELOPE_BYTES} bytes")
    try:
        keys = list(accepted) or [_named_key(read_envelope(envelope)[0])]
        verified = verify_envelope(envelope, keys, payload_type=IN_TOTO_TYPE)
    except AuditError as error:
        raise _Refusal("1 envelope", str(error)) from error
    try:
        statement = parse_statement(verified.payload)
        named = PublicKey.from_text(statement["predicate"]["service"]["publicKey"])
    except AuditError as error:
        raise _Refusal("2 statement", str(error)) from error
    if named.key_id not in verified.key_ids:
        raise _Refusal("1 envelope", "the statement names another signer than the key that signed it")
    return statement, named.key_id


def _named_key(unverified: bytes) -> PublicKey:
    """The key the statement names. Good for integrity only, which the caller states as a condition."""
    return PublicKey.from_text(parse_statement(unverified)["predicate"]["service"]["publicKey"])


def _check_evidence(statement: Mapping[str, Any], files: Mapping[str, bytes]) -> Manifest:
    try:
        manifest = parse_evidence(statement["predicate"]["evidence"])
    except AuditError as error:
        raise _Refusal("3 evidence", str(error)) from error
    listed = {EVIDENCE_FOLDER + ref.name for ref in manifest}
    extra = sorted(name for name in files if name.startswith(EVIDENCE_FOLDER) and name not in listed)
    if extra:
        raise _Refusal("3 evidence", f"{extra[0]} is not in the statement")
    for ref in manifest:
        data = files.get(EVIDENCE_FOLDER + ref.name)
        if data is None:
            raise _Refusal("3 evidence", f"{EVIDENCE_FOLDER}{ref.name} is missing")
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise _Refusal("3 evidence", f"{EVIDENCE_FOLDER}{ref.name} differs from what was signed")
    return manifest


def _check_request(statement: Mapping[str, Any], files: Mapping[str, bytes]) -> AuditRequest:
    document = files.get(EVIDENCE_FOLDER + REQUEST_NAME)
    if document is None:
        raise _Refusal("4 request", f"{EVIDENCE_FOLDER}{REQUEST_NAME} is missing")
    try:
        request = parse_request(document)
    except AuditError as error:
        raise _Refusal("4 request", str(error)) from error
    if statement["predicate"]["request"] != {"sha256": request.sha256, **request.to_json()}:
        raise _Refusal("4 request", "the statement describes another request")
    if statement["subject"] != [request.subject.to_json()]:
        raise _Refusal("4 request", "the statement is about another subject than the request")
    if statement["predicate"]["audit"] != audit_id_of(request):
        raise _Refusal("4 request", "the statement gives another audit id than the request has")
    return request


def _check_source(
    request: AuditRequest,
    manifest: Manifest,
    files: Mapping[str, bytes],
    providers: Sequence[PublicKey],
    registry: Registry,
) -> tuple[str, list[str]]:
    """Who stands behind the subject: the detail of check 5, and the conditions that follow from it."""
    folder = EVIDENCE_FOLDER + PUBLISHED_FOLDER
    try:
        if request.kind in registry:
            check_runs_on(registry.get(request.kind), request)
        if request.provider == SERVICE and providers:
            raise RequestError(
                "the service ran this audit itself; no provider signed anything, so no provider key can be demanded"
            )
    except AuditError as error:
        raise _Refusal("5 publication", str(error)) from error
    published = tuple(
        FileRef(ref.name.removeprefix(PUBLISHED_FOLDER), ref.sha256, ref.size)
        for ref in manifest
        if ref.name.startswith(PUBLISHED_FOLDER)
    )

    def read(name: str) -> bytes:
        return files[folder + name]

    try:
        if request.provider == SERVICE:
            return check_subject(request, published, read), [RUN_BY_SERVICE]
        key = check_published(request.subject, request.provider, published, read)
    except AuditError as error:
        raise _Refusal("5 publication", str(error)) from error
    if providers and key not in providers:
        raise _Refusal("5 publication", f"{request.provider} signed with {key.to_text()}, which is not an accepted key")
    known = [] if providers else [f"the provider {request.provider} is whoever holds the key {key.to_text()}, registered here"]
    return f"signed by {request.provider}, key {key.key_id[:16]}", known


def _describe_strays(statement: Mapping[str, Any], files: Mapping[str, bytes]) -> list[str]:
    """Files beside the evidence that are not what this version renders from the signed statement: nobody signed those."""
    rendered = {TEXT_NAME: render_text, FIGURE_NAME: render_figure}
    strays = []
    for name in sorted(files):
        if name == ENVELOPE_NAME or name.startswith(EVIDENCE_FOLDER):
            continue
        if name not in rendered or files[name] != rendered[name](statement).encode("utf-8"):
            strays.append(name[:MAX_STRAY_CHARS])
    if not strays:
        return []
    more = f" and {len(strays) - MAX_STRAYS} more" if len(strays) > MAX_STRAYS else ""
    return [f"not signed and not checked, do not rely on them: {', '.join(strays[:MAX_STRAYS])}{more}"]


def _recheck(
    statement: Mapping[str, Any],
    request: AuditRequest,
    manifest: Manifest,
    files: Mapping[str, bytes],
    registry: Registry,
) -> tuple[Check, Verdict]:
    def below(folder: str) -> dict[str, bytes]:
        names = [ref.name for ref in manifest if ref.name.startswith(folder)]
        return {name.removeprefix(folder): files[EVIDENCE_FOLDER + name] for name in names}

    kind = registry.get(request.kind)
    try:
        kind.parse_params(request.params)
        outcome = kind.check(request, below(ANSWER_FOLDER), CheckContext(below(PUBLISHED_FOLDER)))
    except AuditError as error:
        return Check("6 recheck", False, f"the evidence does not count: {error}"), "refuted"
    except Exception as error:  # a defect of the check says nothing about the evidence
        return Check("6 recheck", False, f"the check itself failed ({type(error).__name__}); report it"), "inconclusive"
    stated = {name: statement["predicate"][name] for name in ("verdict", "checks", "outputs", "conditions")}
    if outcome.to_json() != stated:
        differing = [name for name, value in outcome.to_json().items() if stated[name] != value]
        return Check("6 recheck", False, f"the evidence gives other {', '.join(differing)} than stated"), "refuted"
    return Check("6 recheck", True, f"the evidence gives the same outcome: {outcome.verdict}"), outcome.verdict
