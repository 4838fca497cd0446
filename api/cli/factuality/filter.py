"""`assay factuality filter`: outputs cut back by a certificate; whatever it does not speak of abstains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import Components, Issuer, describe_signer, read_components, read_moment, read_signed
from api.cli.options import Json, emit
from api.cli.outcome import clear_errors


def filter_claims(
    outputs: Annotated[Path, typer.Argument(metavar="OUTPUTS.jsonl", help="Outputs with scored claims, as a ledger has them.")],
    certificate: Annotated[Path, typer.Option("--certificate", help="The signed certificate.")],
    issuer: Issuer = None,
    components: Components = None,
    at: Annotated[str | None, typer.Option("--at", help="The time of use, 2026-01-31T00:00:00Z; default: now.")] = None,
    as_json: Json = False,
) -> None:
    """Keep what the certificate lets through. No score, no claim; other model, prompt, splitter or scorer: refused."""
    from conformal.filtering import filter_outputs, is_valid_at

    with clear_errors():
        signed = read_signed(certificate, issuer)
        now = read_moment(at)
        in_use = read_components(components, signed.certificate.promise.score)
        found = filter_outputs(signed.certificate, _read(outputs), in_use, now)
    document = {**describe_signer(signed), **found.to_json()}
    lines = []
    for output in found.outputs:
        lines.append(f"{output.id or 'without an id'}: {f'abstains ({output.abstention})' if output.abstention else 'keeps'}")
        lines += [f"  {claim.text}" for claim in output.kept]
    counts = document["counts"]
    lines.append(
        f"{counts['outputs']} outputs, {counts['kept_claims']} claims kept, {counts['dropped_claims']} dropped,"
        f" {counts['abstentions']} abstentions"
    )
    emit(document, as_json, "\n".join(lines))
    if not is_valid_at(signed.certificate, now):
        raise CommandError(
            f"the certificate is valid from {signed.certificate.issued} to {signed.certificate.expires}: every output abstains",
            Exit.REFUTED,
        )


def _read(path: Path) -> Iterator[Any]:
    """One value a line; None, which abstains, where the line is no JSON, too long, or names a member twice."""
    from conformal.claims import MAX_LINE_BYTES
    from conformal.published import MAX_FILE_BYTES

    if path.stat().st_size > MAX_FILE_BYTES:
        raise CommandError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                yield json.loads(line, object_pairs_hook=_no_duplicates) if len(line) <= MAX_LINE_BYTES else None
            except (ValueError, RecursionError):
                yield None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a member twice")
    return found
