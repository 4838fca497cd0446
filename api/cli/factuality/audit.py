"""`assay factuality audit`: a vendor's certificate, or its bare rate, against fresh labelled outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import Components, Issuer, describe_signer, read_components, read_moment, read_signed
from api.cli.options import Json, emit
from api.cli.outcome import clear_errors

_EXITS = {"consistent": Exit.OK, "refuted": Exit.REFUTED}


def audit(
    fresh: Annotated[Path | None, typer.Argument(metavar="FRESH", help="Fresh labelled outputs, with --certificate.")] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="The vendor's signed certificate.")] = None,
    issuer: Issuer = None,
    components: Components = None,
    sequential: Annotated[bool, typer.Option("--sequential", help="Bet label by label, in the order of the file.")] = False,
    at: Annotated[str | None, typer.Option("--at", help="The time of use, 2026-01-31T00:00:00Z; default: now.")] = None,
    covered: Annotated[int | None, typer.Option("--covered", min=0, help="Without: outputs on which the statement held.")] = None,
    outputs: Annotated[int | None, typer.Option("--outputs", min=1, help="Fresh labelled outputs in all.")] = None,
    calibrated_on: Annotated[int | None, typer.Option("--calibrated-on", min=1, help="Outputs the vendor calibrated on.")] = None,
    alpha: Annotated[str, typer.Option("--alpha", help="The vendor's target error (without a certificate).")] = "0.1",
    level: Annotated[str, typer.Option("--level", help="Chance to refute an honest vendor.")] = "0.05",
    shortfall: Annotated[str, typer.Option("--shortfall", help="The shortfall the audit should be able to see.")] = "0.05",
    as_json: Json = False,
) -> None:
    """Test a vendor's certificate on fresh labelled outputs, by the beta-binomial law of an honest vendor."""
    counts = (covered, outputs, calibrated_on)
    by_certificate = certificate is not None and fresh is not None and counts == (None, None, None)
    if not by_certificate and (certificate is not None or fresh is not None or None in counts):
        raise CommandError(
            "give --certificate and fresh labelled outputs, or all of --covered, --outputs and --calibrated-on", Exit.USAGE
        )
    with clear_errors():
        if certificate is not None and fresh is not None:
            found, text = _by_certificate(certificate, fresh, issuer, components, at, (level, shortfall), sequential)
        else:
            found, text = _by_counts(covered or 0, outputs or 0, calibrated_on or 0, alpha, level, shortfall)
    emit(found, as_json, text)
    raise typer.Exit(_EXITS.get(found["verdict"], Exit.INCONCLUSIVE))


def _by_certificate(
    path: Path, fresh: Path, issuer: str | None, components: Path | None, at: str | None, levels: tuple[str, str], bets: bool
) -> tuple[dict[str, Any], str]:
    from conformal.auditing import audit_outputs
    from conformal.levels import parse_level
    from conformal.reading import read_claims

    signed = read_signed(path, issuer)
    level, shortfall = (float(parse_level(text, name)) for text, name in zip(levels, ("level", "shortfall")))
    found = audit_outputs(
        signed.certificate, read_claims(fresh)[0], read_components(components, signed.certificate.promise.score), read_moment(at),
        level=level, shortfall=shortfall, sequential=bets,
    )  # fmt: skip
    lines = []
    for group in found.groups:
        test, name = group.test, "" if group.group is None else f"{group.group}: "
        lines.append(
            f"{name}{test.verdict}: {test.covered} of {test.m} right, p = {test.p_value:.4g} at level {group.level:.4g}; an"
            f" honest vendor has {test.interval[0]} to {test.interval[1]} (95 %)"
        )
        if group.betting is not None:
            when = "undecided" if group.betting.stopped_at is None else f"decided after {group.betting.stopped_at}"
            lines.append(f"  by bets: {group.betting.verdict}, {when} of {group.betting.labels} labels")
    lines += [f"{count} outputs skipped: {reason}" for reason, count in found.skipped.items() if count]
    return {**describe_signer(signed), **found.to_json()}, "\n".join([f"verdict: {found.verdict}", *lines])


def _by_counts(
    covered: int, outputs: int, calibrated_on: int, alpha: str, level: str, shortfall: str
) -> tuple[dict[str, Any], str]:
    from conformal.levels import marginal_rank, parse_level
    from conformal.planning import audit_certificate

    rank = marginal_rank(calibrated_on, parse_level(alpha))
    if rank is None:
        raise CommandError(f"a vendor calibrated on {calibrated_on} outputs abstains always at alpha {alpha}: nothing to audit")
    found = audit_certificate(
        covered, outputs, calibrated_on, rank, float(parse_level(level, "level")), float(parse_level(shortfall, "shortfall"))
    )
    text = (
        f"{found.verdict}: {covered} of {outputs} right, p = {found.p_value:.4g}; an honest vendor has {found.interval[0]} to"
        f" {found.interval[1]} (95 %), and is refuted below {found.floor}"
    )
    return found.to_json(), text
