"""`assay privacy uploads`: values and records handed to a service, sealed, so that it can audit with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError
from api.cli.models import Auditors
from api.cli.options import DEFAULT_URL, Json, KeyFile, Url, emit, list_by_default, read_api_key, table
from api.cli.outcome import clear_errors
from api.client import ServiceClient

MAX_BYTES = 4 << 20

uploads = typer.Typer(help="Hand values of a consent, or private records, to a service; list and take them back.")


@uploads.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """Hand values of a consent, or private records, to a service; list and take them back. Without a subcommand: list."""
    list_by_default(context)


@uploads.command("add")
def add_openings(
    request: Annotated[
        Path, typer.Argument(metavar="REQUEST", help="The signed request, as `assay privacy subject sign` writes it.")
    ],
    openings: Annotated[Path, typer.Argument(metavar="OPENINGS", help="Its openings, which hold the values.")],
    auditor: Auditors = None,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Hand over the values of a signed request, for you and the auditors you name. The auditors do not get to see them.

    The service keeps them sealed until the one audit of this request has ended, and shows commitments only.
    """
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.add_openings(_read(request), _read(openings), auditor or [])
    types = ", ".join(item["type"] for item in found["items"])
    _show(found, as_json, [f"consent  {found['digest']}", f"values   {types}"])


@uploads.command("add-records")
def add_records(
    groups: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: groups of records, such as member and non-member.")],
    auditor: Auditors = None,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Hand over private records, to be read by a model that you registered. Prints the commitment that requests name."""
    from audit.canonical import parse_json
    from audit.privacy.records import new_records

    with clear_errors():
        content = parse_json(_read(groups), groups.name)
        if not isinstance(content, dict) or not all(isinstance(records, list) for records in content.values()):
            raise CommandError(f"{groups} must be a JSON object: a list of records for each group")
        document, _ = new_records(content)
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = client.add_records(document, auditor or [])
    counts = ", ".join(f"{count} {name}" for name, count in found["groups"].items())
    _show(found, as_json, [f"records  {found['digest']}", f"groups   {counts}"])


@uploads.command("list")
def list_uploads(url: Url = DEFAULT_URL, api_key_file: KeyFile = None, as_json: Json = False) -> None:
    """List what audits of yours may use, newest first."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        rows = client.list_private_uploads()
    emit(rows, as_json, table(rows, ("digest", "kind", "owner", "expires_at"), "no uploads"))


@uploads.command("remove")
def remove_upload(
    digest: Annotated[str, typer.Argument(metavar="DIGEST")],
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take an upload of yours back: the service removes it. An audit that runs on it fails; reports stay."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        emit(client.delete_private_upload(digest), as_json, f"{digest} is removed")


def _show(found: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    lines += [f"auditors {', '.join(found['auditors']) or 'you alone'}", f"expires  {found['expires_at']}"]
    emit(found, as_json, "\n".join(lines))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CommandError(f"{path} is larger than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
