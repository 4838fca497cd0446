"""`assay verify`: anything that can be verified, offline, with one numbered line a check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from zk.verifier.bundle import Check
from zk.verifier.files import ENVELOPE, collect
from zk.verifier.report import Report, verify_collected

verify = typer.Typer(add_completion=False)


@verify.command()
def verify_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Commitment record, .stmt/.proof pair, run, evidence or report folder."),
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="Public key file of the service that signed a report; repeat for several."),
    ] = None,
    provider_key: Annotated[
        list[Path] | None,
        typer.Option("--provider-key", help="Public key file of the provider a report is about; repeat for several."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify commitments, segments, runs, evidence or reports. Offline: no network, no service.

    All proofs named in one call are checked as one set, so that certificates, segments and audits meet. Exit codes:
    0 holds, 1 a path cannot be read, 2 usage, 3 refuted, 5 inconclusive.
    """
    with clear_errors(), shown_progress(as_json) as progress:
        reports = [path for path in paths if (path / ENVELOPE).is_file() or path.name == ENVELOPE]
        others = [path for path in paths if path not in reports]
        out = Report()
        if others:
            progress(0.1, "verifying proofs")
            out = verify_collected(collect(others))
        for path in reports:
            progress(0.5, f"verifying the report {path}")
            _add_report(out, path if path.is_dir() else path.parent, key or [], provider_key or [])
    print(json.dumps(out.to_json(), indent=2) if as_json else "\n".join(out.lines()), flush=True)
    raise typer.Exit(out.exit_code)


def _add_report(out: Report, folder: Path, keys: list[Path], provider_keys: list[Path]) -> None:
    """Verify one report folder and append its checks; names carry the folder when there are several."""
    from audit.kinds import build_registry
    from audit.reports import read_report
    from audit.signing import load_public_key
    from audit.verify import verify_report

    services, providers = ([load_public_key(path) for path in paths] for paths in (keys, provider_keys))
    found = verify_report(read_report(folder), build_registry(), services, providers)
    prefix = f"{folder.resolve().name}: " if out.checks else ""
    undecided = found.verdict == "inconclusive"
    checks = [Check(prefix + check.id, None if undecided and not check.ok else check.ok, check.detail) for check in found.checks]
    if found.verdict != "holds" and all(check.ok for check in checks):
        checks.append(Check(f"{prefix}outcome", None if undecided else False, f"the audit's own outcome is: {found.verdict}"))
    out.checks += checks
    out.conditions += [sentence for sentence in found.conditions if sentence not in out.conditions]
    outputs = dict(found.outputs)
    out.notes += [f"outputs of the report in {folder}", *(f"  {name} = {value}" for name, value in outputs.items())]
    out.facts.setdefault("reports", []).append({"folder": str(folder), "verdict": found.verdict, "outputs": outputs})
