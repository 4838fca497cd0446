"""Certificates on the command line: the options that several commands share, reading and writing them, and what is in use."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import say

if TYPE_CHECKING:
    from audit.factuality.certificates import SignedCertificate
    from audit.signing import PublicKey

Issuer = Annotated[
    str | None,
    typer.Option("--issuer", help="Public key the certificate must be signed with: a file, or 32 bytes in base64."),
]
Components = Annotated[
    Path | None,
    typer.Option("--components", help="JSON: SHA-256 of model, prompt, splitter, scorer (and labeller); or a run's report.json."),
]
MAX_COMPONENT_BYTES = 1 << 20
NOT_PINNED = (
    "no --issuer was given: the signature shows that nothing was altered since it was made, not who made it;"
    " name the issuer's public key"
)


def read_signed(path: Path, issuer: str | None) -> SignedCertificate:
    """The checked certificate of a file. Raises AuditError, ConformalError, CommandError, OSError."""
    from audit.dsse import MAX_ENVELOPE_BYTES
    from audit.factuality.certificates import open_certificate

    with path.open("rb") as file:
        data = file.read(MAX_ENVELOPE_BYTES + 1)
    if len(data) > MAX_ENVELOPE_BYTES:
        raise CommandError(f"{path} is larger than {MAX_ENVELOPE_BYTES} bytes; it is no certificate")
    found = open_certificate(data, _public_key(issuer) if issuer is not None else None)
    if not found.pinned:
        say(f"warning: {NOT_PINNED}")
    return found


def describe_signer(found: SignedCertificate) -> dict[str, Any]:
    """Who signed, and whether that was demanded."""
    return {"issuer": found.issuer.to_text(), "issuer_pinned": found.pinned}


def read_components(path: Path | None, score: str) -> dict[str, str | None]:
    """The digests of what is in use: none without a file; of a run's report those of that score."""
    from conformal.issuing import parse_components

    if path is None:
        return parse_components({})
    with path.open("rb") as file:
        data = file.read(MAX_COMPONENT_BYTES + 1)
    try:
        value = json.loads(data) if len(data) <= MAX_COMPONENT_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CommandError(f"{path} must be a JSON object of digests, of at most {MAX_COMPONENT_BYTES} bytes", Exit.USAGE)
    if "components" in value:
        of_scores = value["components"]
        if not isinstance(of_scores, dict) or score not in of_scores:
            raise CommandError(f"{path} has no components for the score {score!r}", Exit.USAGE)
        value = of_scores[score]
    return parse_components(value)


def read_moment(text: str | None) -> datetime:
    """The given time, or now."""
    from conformal.certificate import parse_time

    return datetime.now(UTC) if text is None else parse_time(text, "the time")


def _public_key(text: str) -> PublicKey:
    from audit.signing import PublicKey, load_public_key

    return load_public_key(Path(text)) if Path(text).is_file() else PublicKey.from_text(text)
