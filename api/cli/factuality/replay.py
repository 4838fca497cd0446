"""`assay factuality replay`: a certificate computed again from its ledger, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import Issuer, describe_signer, read_signed
from api.cli.options import Json, emit
from api.cli.outcome import clear_errors


def replay_certificate(
    claims: Annotated[Path, typer.Argument(metavar="LEDGER", help="The labelled claims it was issued on.")],
    certificate: Annotated[Path, typer.Option("--certificate", help="The signed certificate.")],
    issuer: Issuer = None,
    held_out: Annotated[Path | None, typer.Option("--held-out", help="The held-out outputs it speaks of.")] = None,
    malformed: Annotated[str, typer.Option("--malformed-labels", help="refuse, false or strip (published files).")] = "refuse",
    as_json: Json = False,
) -> None:
    """Compute scores, ranks, thresholds, intervals and rates again; every number must come out as it stands."""
    from conformal.errors import CertificateError
    from conformal.reading import read_claims
    from conformal.replay import replay

    if malformed not in ("refuse", "false", "strip"):
        raise CommandError("--malformed-labels must be refuse, false or strip", Exit.USAGE)
    with clear_errors():
        signed = read_signed(certificate, issuer)
        tables = [None if path is None else read_claims(path, malformed)[0] for path in (claims, held_out)]  # type: ignore[arg-type]
        assert tables[0] is not None
        try:
            found = replay(signed.certificate, tables[0], tables[1])
        except CertificateError as error:
            raise CommandError(str(error), Exit.REFUTED) from None
    held = "" if signed.certificate.held_out is None or found.held_out else "; the held-out figures were not replayed"
    emit({**found.to_json(), **describe_signer(signed)}, as_json, f"holds: {found.outputs} outputs, every number again{held}")
