"""Requests for audits that the service runs itself: from files, names and key files to subject and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.cli.exits import CommandError, Exit
from api.client import ServiceClient
from audit.canonical import parse_json
from audit.requests import MAX_REQUEST_BYTES, Subject
from audit.subjects import MODEL_SUBJECT, text_subject

DIGEST_CHARS, MIN_PREFIX_CHARS = 64, 8


def build_request(
    client: ServiceClient,
    params: dict[str, Any],
    texts: Sequence[Path],
    ids: Sequence[Path],
    model: str | None,
    tokenizer: str | None,
    key: str | None,
    claim: str | None,
) -> tuple[Subject, dict[str, Any]]:
    """Subject and parameters. What options name is filled in beside `params`. Raises CommandError, ServiceError."""
    found = dict(params)
    if key is not None:
        found["key"] = find_key(client, key)
    if tokenizer is not None:
        found["tokenizer"] = find_model(client, tokenizer)
    if claim is not None:
        found["claim"] = claim
    if texts or ids:
        found["documents"] = _read_documents(texts, ids)
    if model is not None:
        found["model"] = find_model(client, model)
        return Subject(MODEL_SUBJECT, found["model"]), found
    if not found.get("documents"):
        raise CommandError("name what to audit: --text, --ids or --documents, or --model for a model", Exit.USAGE)
    return text_subject(found["documents"]), found


def read_members(documents: Path | None, certificate: Path | None, consents: Sequence[Path] = ()) -> dict[str, Any]:
    """Parameters from files: the lines of a JSONL file, the content of a signed certificate, signed requests of data subjects.
    Raises CommandError, AuditError."""
    found: dict[str, Any] = {}
    if documents is not None:
        if documents.stat().st_size > MAX_REQUEST_BYTES:
            raise CommandError(f"{documents} is larger than the {MAX_REQUEST_BYTES} bytes of a request; split it")
        lines = documents.read_bytes().splitlines()
        found["documents"] = [parse_json(line, f"{documents}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if consents:
        found["consents"] = [parse_json(path.read_bytes()[: MAX_REQUEST_BYTES + 1], str(path)) for path in consents]
    if certificate is not None:
        from api.cli.factuality.certificates import read_signed
        from conformal.errors import ConformalError

        try:
            found["certificate"] = read_signed(certificate, None).certificate.to_json()
        except ConformalError as error:
            raise CommandError(str(error)) from error
    return found


def _read_documents(texts: Sequence[Path], ids: Sequence[Path]) -> list[dict[str, Any]]:
    """One document a file, named after it; files of equal names by their whole path."""
    from watermark.errors import WatermarkError
    from watermark.reading import read_ids, read_text

    paths = [*texts, *ids]
    names = [path.name for path in paths]
    shown = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths)]
    try:
        documents: list[dict[str, Any]] = [{"id": name, "text": read_text(path)} for name, path in zip(shown, texts)]
        documents += [{"id": name, "input_ids": read_ids(path).tolist()} for name, path in zip(shown[len(texts) :], ids)]
    except WatermarkError as error:
        raise CommandError(str(error)) from error
    return documents


def find_model(client: ServiceClient, named: str) -> str:
    """The digest of a registered model, named by digest, id or name. Raises CommandError."""
    rows = [row for row in client.list_models() if named in (row["name"], row["id"], row["digest"])]
    if len(rows) > 1:
        raise CommandError(f"there are several models named {named}; give its id (assay models)", Exit.USAGE)
    if not rows:
        raise CommandError(f"there is no model {named} that you may use; `assay models` lists them", Exit.NOT_FOUND)
    if rows[0]["state"] != "ready":
        raise CommandError(f"the model {named} is {rows[0]['state']}: {rows[0]['detail'] or 'wait for its probe'}")
    return str(rows[0]["digest"])


def find_key(client: ServiceClient, named: str) -> str:
    """The commitment of a watermark key, named by commitment, its first digits, or a key file (which is only read)."""
    if Path(named).is_file():
        from watermark.errors import WatermarkError
        from watermark.keys import load_key

        try:
            return load_key(Path(named)).commitment
        except WatermarkError as error:
            raise CommandError(str(error)) from error
    if len(named) == DIGEST_CHARS:
        return named
    known = [str(row["commitment"]) for row in client.list_watermark_keys()]
    matching = [commitment for commitment in known if len(named) >= MIN_PREFIX_CHARS and commitment.startswith(named)]
    if len(matching) != 1:
        raise CommandError(f"{named} is no key file, nor the beginning of one commitment that you may use", Exit.NOT_FOUND)
    return matching[0]
