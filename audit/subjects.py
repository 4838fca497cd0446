"""What a service-run audit is about: texts in the request itself, or a model registered with the service.

No provider signs anything here. The subject's digest is that of bytes which the evidence carries: the request's documents, or
the registration of the model, a canonical JSON document under `published/models/DIGEST.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from audit.canonical import canonical_bytes, parse_json
from audit.errors import EvidenceError
from audit.evidence import Manifest
from audit.requests import AuditRequest, Subject, parse_digest, parse_name

TEXT_SUBJECT = "text"
MODEL_SUBJECT = "model"
MODEL_FORMAT = "assay-model/1"
MAX_MODEL_BYTES = 256 * 1024
MAX_MODELS = 8
_MODEL_MEMBERS = {"format", "name", "owner", "kind", "address", "capabilities", "attestation", "nonce"}


def text_subject(documents: Any) -> Subject:
    """The subject of an audit of texts: the SHA-256 of the canonical JSON of `params.documents`."""
    return Subject(TEXT_SUBJECT, hashlib.sha256(canonical_bytes(documents)).hexdigest())


def model_file(digest: str) -> str:
    """The name of a model's registration among the published files."""
    return f"models/{digest}.json"


def parse_model(data: bytes) -> dict[str, Any]:
    """Read the registration of a model. Raises EvidenceError."""
    document = parse_json(data, "the registration of a model", max_bytes=MAX_MODEL_BYTES, error=EvidenceError)
    if not isinstance(document, dict) or set(document) != _MODEL_MEMBERS or document["format"] != MODEL_FORMAT:
        raise EvidenceError(f"the registration of a model has the format {MODEL_FORMAT!r} and its members, no others")
    shapes = {"name": str, "owner": str, "kind": str, "address": str, "capabilities": dict, "attestation": dict, "nonce": str}
    for name, shape in shapes.items():
        if not isinstance(document[name], shape):
            raise EvidenceError(f"the registration of a model: {name} is malformed")
    parse_name(document["name"], "the name of a model")
    return document


def check_subject(request: AuditRequest, published: Manifest, read: Callable[[str], bytes]) -> str:
    """That the subject of a service-run audit is what the evidence carries; one line that says what it is.

    `published` are the files beside the request; each must be the registration of a model under its own digest. Raises
    AuditError.
    """
    digests = set()
    for ref in published:
        digest = ref.name.removeprefix("models/").removesuffix(".json")
        if ref.name != model_file(digest) or ref.sha256 != digest:
            raise EvidenceError(f"{ref.name} is not the registration of a model under its own digest")
        parse_model(read(ref.name))
        digests.add(digest)
    if request.subject.name == TEXT_SUBJECT:
        if text_subject(request.params.get("documents")) != request.subject:
            raise EvidenceError("the subject is not the digest of the documents in the request")
        return "run by the service on the texts of the request; no provider signed anything"
    if request.subject.name != MODEL_SUBJECT:
        raise EvidenceError(f"a service-run audit is about {TEXT_SUBJECT!r} or {MODEL_SUBJECT!r}")
    if request.subject.sha256 not in digests:
        raise EvidenceError(f"the registration of the model {request.subject.sha256[:16]} is missing")
    return "run by the service on a registered model; no provider signed anything"


def check_needed(needed: Mapping[str, int], published: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """The registrations of exactly the needed models, by digest, each of the tier that is needed. Raises EvidenceError."""
    if set(published) != {model_file(digest) for digest in needed}:
        raise EvidenceError("the published files are not the registrations of exactly the models that the request needs")
    found = {}
    for digest, tier in needed.items():
        document = parse_model(published[model_file(parse_digest(digest, "the digest of a model"))])
        if read_tier(document["capabilities"]) < tier:
            raise EvidenceError(f"the model {document['name']} offers {document['capabilities'].get('tier')}, T{tier} is needed")
        found[digest] = document
    return found


def consented_digest(digest: str, attestation: Mapping[str, Any]) -> str:
    """What a consent names as `model_digest`: the digest over the weight files, whatever name they are registered under; for an
    endpoint, which attests none, the digest of its registration."""
    found = attestation.get("model_digest")
    return found if isinstance(found, str) else digest


def read_tier(capabilities: Mapping[str, Any]) -> int:
    """The tier in the capabilities of a registration; -1 for none that is known."""
    text = capabilities.get("tier")
    return int(text[1]) if isinstance(text, str) and len(text) == 2 and text[0] == "T" and text[1] in "01234" else -1
