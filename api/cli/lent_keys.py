"""`assay watermark-keys`: keys handed to a service, so that it can detect with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.models import Auditors
from api.cli.options import DEFAULT_URL, Json, KeyFile, Url, emit, list_by_default, read_api_key, table
from api.cli.outcome import clear_errors
from api.client import ServiceClient

watermark_keys = typer.Typer(help="Hand watermark keys to a service, list and take them back.")


@watermark_keys.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """Hand watermark keys to a service, list and take them back. Without a subcommand: list."""
    list_by_default(context)


@watermark_keys.command("add")
def add_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Key file, as `assay watermark keygen` writes it.")],
    auditor: Auditors = None,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Hand a key over, for you and the auditors you name. Whoever may detect with it can learn to forge it; choose them well.

    The service keeps it in a private file and shows its commitment and public configuration only. Again sets the auditors anew.
    """
    with clear_errors():
        from watermark.keys import load_key, to_json

        document = to_json(load_key(file))
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.add_watermark_key(document, auditor or [])
    lines = [f"commitment {found['commitment']}", f"auditors   {', '.join(found['auditors']) or 'you alone'}"]
    lines += [f"hazard     {sentence}" for sentence in found["hazards"]]
    emit(found, as_json, "\n".join(lines))


@watermark_keys.command("list")
def list_keys(url: Url = DEFAULT_URL, api_key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the keys you may use, newest first."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        rows = client.list_watermark_keys()
    emit(rows, as_json, table(rows, ("commitment", "family", "owner", "created_at"), "no watermark keys"))


@watermark_keys.command("remove")
def remove_key(
    commitment: Annotated[str, typer.Argument(metavar="COMMITMENT")],
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take a key of yours back: the service removes its file. Reports that name its commitment stay."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        emit(client.delete_watermark_key(commitment), as_json, f"{commitment} is removed")
