"""Reports: an in-toto Statement v1 over one audit, DSSE-signed by the service, beside the evidence it speaks of.

A report is a folder and needs nothing else:

    report.dsse.json     the signed statement: the only thing that counts
    report.txt           the same, for people; figure.svg, a picture of the checks
    evidence/request.json, evidence/answer/..., evidence/published/...

The statement holds the digest of every file under `evidence/`. Nothing in it comes from the clock or the worker that
made it: the same audit gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from audit.canonical import canonical_bytes, parse_json
from audit.dsse import IN_TOTO_TYPE, Signer, read_envelope, sign_envelope
from audit.errors import ReportError, RequestError
from audit.evidence import MAX_FILES, MAX_TOTAL_BYTES, FileRef, Manifest, check_manifest, parse_file_name, parse_manifest
from audit.registry import Outcome
from audit.requests import AuditRequest, parse_subject

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:assay:report:1"
ENVELOPE_NAME = "report.dsse.json"
EVIDENCE_FOLDER = "evidence/"
REQUEST_NAME = "request.json"
ANSWER_FOLDER = "answer/"
PUBLISHED_FOLDER = "published/"
TEXT_NAME = "report.txt"
FIGURE_NAME = "figure.svg"
MAX_STATEMENT_BYTES = 8 * 1024 * 1024
# A report holds two manifests, what was published and what was answered, and a few files of its own.
MAX_REPORT_FILES = 2 * MAX_FILES + 16
MAX_REPORT_BYTES = 2 * MAX_TOTAL_BYTES + 64 * 1024 * 1024
MAX_REPORT_DEPTH = 64
_OK = (True, False, None)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ReportFacts:
    """Everything a report says, before it is signed. Times are RFC 3339, UTC, as the service stored them."""

    audit_id: str
    request: AuditRequest
    requested_at: str
    evidence_at: str
    outcome: Outcome
    answer: Manifest
    published: Manifest
    service_key: str


def list_evidence(request: AuditRequest, answer: Manifest, published: Manifest) -> Manifest:
    """Every file under `evidence/` of a report, with names relative to it."""
    document = request.to_bytes()
    own = FileRef(REQUEST_NAME, hashlib.sha256(document).hexdigest(), len(document))
    moved = [FileRef(ANSWER_FOLDER + ref.name, ref.sha256, ref.size) for ref in answer]
    moved += [FileRef(PUBLISHED_FOLDER + ref.name, ref.sha256, ref.size) for ref in published]
    return check_manifest([own, *moved], MAX_REPORT_BYTES)


def parse_evidence(value: Any) -> Manifest:
    """Read the member `evidence` of a report, within the bounds of a report. Raises EvidenceError."""
    return parse_manifest(value, max_files=MAX_REPORT_FILES, max_bytes=MAX_REPORT_BYTES)


def build_statement(facts: ReportFacts) -> dict[str, Any]:
    """The in-toto statement of an audit. Subjects match by digest."""
    evidence = list_evidence(facts.request, facts.answer, facts.published)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [facts.request.subject.to_json()],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "audit": facts.audit_id,
            "request": {"sha256": facts.request.sha256, **facts.request.to_json()},
            "requestedAt": facts.requested_at,
            "evidenceAt": facts.evidence_at,
            **facts.outcome.to_json(),
            "evidence": [ref.to_json() for ref in evidence],
            "service": {"publicKey": facts.service_key},
        },
    }


def sign_report(facts: ReportFacts, signer: Signer) -> bytes:
    """The bytes of `report.dsse.json`: canonical, hence deterministic with a deterministic signature."""
    return canonical_bytes(sign_envelope(canonical_bytes(build_statement(facts)), IN_TOTO_TYPE, [signer]))


def parse_statement(payload: bytes) -> dict[str, Any]:
    """Read the payload of a report and check its schema. Raises ReportError that names the member at fault."""
    statement = parse_json(payload, "the statement", max_bytes=MAX_STATEMENT_BYTES, error=ReportError)
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise ReportError(f"the payload is not an in-toto statement ({STATEMENT_TYPE})")
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise ReportError(f"predicateType must be {PREDICATE_TYPE}")
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict):
        raise ReportError("the predicate must be a JSON object")
    shapes: dict[str, type] = {
        "audit": str, "request": dict, "requestedAt": str, "evidenceAt": str, "verdict": str, "checks": list,
        "outputs": dict, "conditions": list, "evidence": list, "service": dict,
    }  # fmt: skip
    for name, shape in shapes.items():
        if not isinstance(predicate.get(name), shape):
            raise ReportError(f"predicate.{name} is missing or of the wrong type")
    if not all(isinstance(sentence, str) for sentence in predicate["conditions"]):
        raise ReportError("predicate.conditions must be sentences")
    for check in predicate["checks"]:
        texts = isinstance(check, dict) and all(isinstance(check.get(name), str) for name in ("id", "detail"))
        if not texts or not any(check.get("ok", 0) is value for value in _OK):
            raise ReportError("predicate.checks must hold objects with id, ok and detail")
    _check_subjects(statement.get("subject"))
    for entry in predicate["evidence"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("size"), int):
            raise ReportError("predicate.evidence must hold objects with name, sha256 and size")
    if not isinstance(predicate["service"].get("publicKey"), str):
        raise ReportError("predicate.service.publicKey is missing")
    return statement


def read_statement(files: Mapping[str, bytes], audit_id: str) -> dict[str, Any]:
    """The statement of a fetched report, its signature not yet verified. Raises AuditError when it is about another audit."""
    if ENVELOPE_NAME not in files:
        raise ReportError(f"the report holds no {ENVELOPE_NAME}")
    statement = parse_statement(read_envelope(files[ENVELOPE_NAME])[0])
    if statement["predicate"]["audit"] != audit_id:
        raise ReportError("the service sent the report of another audit")
    return statement


def _check_subjects(subjects: Any) -> None:
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise ReportError("the statement needs exactly one subject")
    try:
        parse_subject(subjects[0])
    except RequestError as error:
        raise ReportError(str(error)) from error


def write_report(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the files of a report below `folder`. Raises ReportError when the folder is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise ReportError(f"{folder} is not empty; name a new folder for the report")
    for name, data in files:
        path = folder / parse_file_name(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def pack_report(files: Iterable[tuple[str, bytes]], target: IO[bytes]) -> None:
    """Write the report folder as a zip archive, with fixed dates and modes: the same report is the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(parse_file_name(name), _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def unpack_report(archive: bytes) -> Mapping[str, bytes]:
    """Read a report archive: names, count and sizes are bounded. Raises ReportError."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_REPORT_FILES or sum(entry.file_size for entry in entries) > MAX_REPORT_BYTES:
                raise ReportError("the archive is larger than a report may be")
            return {parse_file_name(entry.filename): _read_bounded(opened, entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ReportError(f"the report is not a readable zip archive: {error}") from error


def _read_bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise ReportError(f"{entry.filename} does not have the size the archive says")
    return data


def read_report(folder: Path) -> Mapping[str, bytes]:
    """Read a report folder. Raises ReportError when it is none, or beyond the bounds of a report."""
    if not (folder / ENVELOPE_NAME).is_file():
        raise ReportError(f"{folder} holds no {ENVELOPE_NAME}; name the folder of a report")
    files: dict[str, bytes] = {}
    total = 0
    for path, size in _walk(folder):
        total += size
        if len(files) >= MAX_REPORT_FILES or total > MAX_REPORT_BYTES:
            raise ReportError(f"{folder} is larger than a report may be")
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Ordinary files below a folder with their sizes. A link could lead anywhere and is refused, as is a pipe or device."""
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        if depth > MAX_REPORT_DEPTH:
            raise ReportError(f"{folder} holds folders more than {MAX_REPORT_DEPTH} deep; a report has none")
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path), entry.stat().st_size
                else:
                    raise ReportError(f"{entry.path} is a link or no ordinary file; a report holds files only")
