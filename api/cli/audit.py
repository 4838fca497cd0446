"""`assay audit`: request, list, show, watch, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, exit_for_verdict
from api.cli.options import DEFAULT_URL, Json, KeyFile, Url, emit, emit_line, list_by_default, read_api_key, table
from api.cli.service_request import build_request, find_model, read_members
from api.client import ServiceClient
from audit.canonical import parse_json
from audit.errors import RequestError
from audit.requests import MAX_REQUEST_BYTES, SERVICE, Subject, new_request

audit = typer.Typer(help="Request, list, show, watch and cancel audits.")
_NOTHING_NAMED = "name what to audit: --run or --commitment of a provider, --text, --ids, --documents or --model"
_COLUMNS = ("id", "state", "verdict", "kind", "provider", "auditor", "created_at")
AskedProvider = Annotated[
    str | None, typer.Option("--provider", envvar="ASSAY_PROVIDER", help="Name of the provider that shall answer.")
]
AuditId = Annotated[str, typer.Argument(metavar="AUDIT_ID", help="Id of the audit.")]


@audit.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """Request, list, show, watch and cancel audits. Without a subcommand: list."""
    list_by_default(context)


@audit.command("request")
def request_audit(
    kind: Annotated[str, typer.Option("--kind", help="Kind of audit; `assay audit kinds` lists them.")],
    provider: AskedProvider = None,
    run: Annotated[str | None, typer.Option("--run", help="Id of the published run to audit.")] = None,
    commitment: Annotated[str | None, typer.Option("--commitment", help="Digest of the commitment to audit.")] = None,
    params: Annotated[str, typer.Option("--params", help="Parameters as JSON, or @FILE.")] = "{}",
    rows: Annotated[str | None, typer.Option("--rows", help="Your own labelled rows: CSV, NPZ, Parquet.")] = None,
    text: Annotated[list[Path] | None, typer.Option("--text", help="Text file to audit; repeat for several.")] = None,
    ids: Annotated[list[Path] | None, typer.Option("--ids", help="File of token ids to audit; repeat for several.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Registered model to audit, by name, id or digest.")] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="Registered model whose tokenizer reads texts.")] = None,
    watermark_key: Annotated[
        str | None, typer.Option("--watermark-key", help="Commitment, or key file (only its commitment is sent).")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option("--documents", help="JSONL of what the kind reads: outputs with claims, or paragraphs.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="Signed certificate of factuality.")] = None,
    consent: Annotated[
        list[Path] | None, typer.Option("--consent", help="Signed request of a data subject; repeat for several.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Registered model that was not trained on what is asked about.")
    ] = None,
    claim: Annotated[str | None, typer.Option("--claim", help="What is claimed of texts: watermarked or unmarked.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the verdict.")] = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Ask a provider for a proof about a run or a commitment; or have the service itself audit texts or a model."""
    own = text is not None or ids is not None or model is not None or documents is not None
    if own and (run is not None or commitment is not None or rows is not None):
        raise CommandError("--text, --ids, --documents and --model do not go with --run, --commitment and --rows", Exit.USAGE)
    asked = None if own else _asked_of_provider(provider, run, commitment)
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        if asked is None:
            whom, given = SERVICE, {**_read_params(params), **read_members(documents, certificate, consent or [])}
            given |= {} if reference is None else {"reference": find_model(client, reference)}
            subject, found = build_request(client, given, text or [], ids or [], model, tokenizer, watermark_key, claim)
        else:
            whom, subject = asked
            found = _read_params(params) if rows is None else _rows_as_params(client, whom, run, kind, rows)
        request = new_request(client.whoami()["owner"], whom, subject, kind, found)
        made = client.create_audit(request)
        if not watch:
            emit(made, as_json, f"{made['id']}\nnext: assay audit watch {made['id']} --url {url}")
            return
        _follow(client, made["id"], as_json)


def _asked_of_provider(provider: str | None, run: str | None, commitment: str | None) -> tuple[str, Subject]:
    if (run is None) == (commitment is None):
        raise CommandError(_NOTHING_NAMED, Exit.USAGE)
    if provider is None:
        raise CommandError("name the provider with --provider", Exit.USAGE)
    return provider, Subject("run", run) if run is not None else Subject("commitment", commitment or "")


def _rows_as_params(client: ServiceClient, provider: str, run: str | None, kind: str, rows: str) -> dict[str, Any]:
    from audit.auditor_rows import params_from_rows

    if run is None:
        raise CommandError("--rows needs --run: the run says how rows become integers", Exit.USAGE)
    return params_from_rows(kind, rows, client.read_run_file(provider, run, "run.json"))


def _read_params(text: str) -> dict[str, Any]:
    source = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode("utf-8", "surrogateescape")
    try:
        value = parse_json(source, "--params", max_bytes=MAX_REQUEST_BYTES)
    except RequestError as error:
        raise CommandError(str(error), Exit.USAGE) from error
    if not isinstance(value, dict):
        raise CommandError("--params must be a JSON object", Exit.USAGE)
    return value


@audit.command("list")
def list_audits(
    provider: Annotated[str | None, typer.Option("--provider", help="Only audits of this provider.")] = None,
    auditor: Annotated[str | None, typer.Option("--auditor", help="Only audits of this auditor.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only audits in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """List audits, newest first."""
    with ServiceClient(url) as client:
        rows = client.list_audits(provider=provider, auditor=auditor, state=state, limit=limit)
    emit(rows, as_json, table(rows, _COLUMNS, "no audits"))


@audit.command("kinds")
def list_kinds(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the kinds of audit the service offers."""
    with ServiceClient(url) as client:
        rows = client.show_service()["kinds"]
    emit(rows, as_json, table(rows, ("name", "runs_on", "title"), "this service offers no kind of audit"))


@audit.command("show")
def show_audit(audit_id: AuditId, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show one audit."""
    with ServiceClient(url) as client:
        found = client.show_audit(audit_id)
    shown = ("id", "state", "verdict", "detail", "kind", "provider", "auditor", "request_sha256", "created_at")
    emit(found, as_json, "\n".join(f"{name:<15} {found[name]}" for name in shown if found[name] is not None))


@audit.command("watch")
def watch_audit(audit_id: AuditId, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Print events as they happen; the exit code is the verdict's."""
    with ServiceClient(url) as client:
        _follow(client, audit_id, as_json)


def _follow(client: ServiceClient, audit_id: str, as_json: bool) -> None:
    for event in client.watch_audit(audit_id):
        details = " ".join(f"{name}={value}" for name, value in event["data"].items())
        emit_line(event, as_json, f"{event['at']}  {event['type']:<18} {details}".rstrip())
    found = client.show_audit(audit_id)
    if found["state"] != "done":
        raise CommandError(f"audit {audit_id} is {found['state']}: {found['detail'] or 'no report'}")
    raise typer.Exit(exit_for_verdict(found["verdict"]))


@audit.command("cancel")
def cancel_audit(audit_id: AuditId, url: Url = DEFAULT_URL, api_key_file: KeyFile = None, as_json: Json = False) -> None:
    """Cancel an audit; again is harmless."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.cancel_audit(audit_id)
    emit(found, as_json, f"{found['id']} is {found['state']}")
