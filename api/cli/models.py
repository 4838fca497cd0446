"""`assay models`: the models that audits of a service may run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import DEFAULT_URL, Json, KeyFile, Url, emit, list_by_default, read_api_key, say, table
from api.client import ServiceClient

models = typer.Typer(help="Register, list and remove the models that audits of a service may run.")
_COLUMNS = ("id", "name", "state", "tier", "kind", "owner", "digest")
Auditors = Annotated[list[str] | None, typer.Option("--auditor", help="Who else may use it; repeat for several.")]


@models.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """Register, list and remove the models that audits of a service may run. Without a subcommand: list."""
    list_by_default(context)


@models.command("add")
def add_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call it.")],
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="http(s)://HOST/v1#MODEL; for administrators: tiny, or a folder.")],
    endpoint_key_file: Annotated[
        Path | None, typer.Option("--endpoint-key-file", help="File with the endpoint's API key.")
    ] = None,
    auditor: Auditors = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Every auditor may use it.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it was probed.")] = True,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Register a model. The service probes what it really offers; audits that need more are refused."""
    secret = None
    if endpoint_key_file is not None:
        try:
            secret = endpoint_key_file.read_text("ascii").strip()
        except UnicodeDecodeError:
            raise CommandError(f"{endpoint_key_file} is no text file; it must hold one API key", Exit.USAGE) from None
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.register_model(name, spec, api_key=secret, auditors=["*"] if everybody else auditor or [])
        if wait:
            say("the service is probing it (--no-wait to go on)")
            found = client.wait_for_model(found["id"])
    emit(found, as_json, "\n".join(_describe(found)))
    if found["state"] == "failed":
        raise typer.Exit(Exit.OPERATIONAL)


def _describe(model: dict[str, Any]) -> list[str]:
    lines = [
        f"{name:<12} {model[name]}" for name in ("id", "name", "state", "detail", "tier", "address", "digest") if model[name]
    ]
    capabilities = model["capabilities"] or {}
    return [*lines, *(f"found        {sentence}" for sentence in capabilities.get("details", []))]


@models.command("list")
def list_models(url: Url = DEFAULT_URL, api_key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the models you may use, newest first."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        rows = client.list_models()
    emit(rows, as_json, table(rows, _COLUMNS, "no models"))


@models.command("show")
def show_model(
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show one model and what its probe found."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.show_model(model_id)
    emit(found, as_json, "\n".join(_describe(found)))


@models.command("remove")
def remove_model(
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Forget a model of yours, and its API key. Reports about it stay."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        emit(client.delete_model(model_id), as_json, f"{model_id} is removed")
