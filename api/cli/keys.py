"""`assay keys`: signing keys, and the API keys of a service (run where the service's folder is)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import DEFAULT_DATA, Data, Database, Json, emit, say, table

keys = typer.Typer(help="Signing keys, and the API keys of a service.", no_args_is_help=True)


@keys.command("new")
def new_key(
    role: Annotated[str, typer.Option("--role", help="admin, provider or auditor.")],
    owner: Annotated[str, typer.Option("--owner", help="Whose key it is: the name audits and providers carry.")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Make an API key. It is printed once; the service keeps only its SHA-256."""
    from api.database import open_store
    from api.settings import Settings
    from audit.store import access

    store = open_store(Settings(data, database))
    with store.write() as session:
        key = access.create_key(session, role, owner)
    store.close()
    say("keep it: it cannot be shown again")
    emit({"key": key, "role": role, "owner": owner}, as_json, key)


@keys.command("show")
def show_keys(data: Data = DEFAULT_DATA, database: Database = None, as_json: Json = False) -> None:
    """List the API keys of a service, without their secrets."""
    from api.database import open_store
    from api.settings import Settings
    from api.shapes import show_key
    from audit.store import access

    store = open_store(Settings(data, database))
    with store.read() as session:
        rows = [show_key(key) for key in access.list_keys(session)]
    store.close()
    emit(rows, as_json, table(rows, ("id", "role", "owner", "created_at", "revoked_at"), "no keys"))


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Revoke an API key; again is harmless."""
    from api.database import open_store
    from api.settings import Settings
    from audit.store import access

    store = open_store(Settings(data, database))
    with store.write() as session:
        access.revoke_key(session, key_id)
    store.close()
    emit({"id": key_id, "revoked": True}, as_json, f"{key_id} is revoked")


@keys.command("signing")
def signing_key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key lies, or will.")],
    as_json: Json = False,
) -> None:
    """Make an Ed25519 signing key (mode 0600) unless it exists, and print its public half."""
    from audit.signing import PrivateKey

    key = PrivateKey.load_or_create(path)
    shown = {"key_id": key.key_id, "public_key": key.public.to_text()}
    emit(shown, as_json, key.public.to_text())
