"""`assay publish`: upload the public half of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.exits import Exit
from api.cli.options import (
    DEFAULT_SIGNING_KEY,
    DEFAULT_URL,
    Json,
    KeyFile,
    OwnName,
    SigningKey,
    Url,
    emit,
    own_name,
    read_api_key,
    say,
)
from api.client import ServiceClient
from api.publishing import publish_run, read_public_files, read_run_id
from audit.signing import PrivateKey

publish = typer.Typer()
_EXITS = {"verified": Exit.OK, "checking": Exit.OK, "refuted": Exit.REFUTED, "inconclusive": Exit.INCONCLUSIVE}


@publish.command()
def publish_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    provider: OwnName = None,
    key: SigningKey = DEFAULT_SIGNING_KEY,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the service has verified it.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Upload RUN/public, signed; RUN/private is never read."""
    if dry_run:
        sizes = {name: len(data) for name, data in read_public_files(run).items()}
        lines = [f"{size:>12}  {name}" for name, size in sizes.items()]
        emit({"run_id": read_run_id(run), "files": sizes}, as_json, "\n".join(lines))
        return
    signer = PrivateKey.load_or_create(key.expanduser())
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        name = own_name(client, provider)
        found = publish_run(client, run, name, signer, say)
        if wait:
            say("waiting for the service to verify it (--no-wait to go on)")
            found = client.wait_for_run(name, found["run_id"])
    emit(found, as_json, f"run {found['run_id']} is {found['state']}" + (f": {found['detail']}" if found["detail"] else ""))
    raise typer.Exit(_EXITS.get(found["state"], Exit.OPERATIONAL))
