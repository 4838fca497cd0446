"""`assay provider`: register a key, list open requests, answer them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from api.agent import LEASE_S, Agent, Answered, find_runs
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
    emit_line,
    own_name,
    read_api_key,
    say,
    table,
)
from api.client import ServiceClient
from api.publishing import register_provider
from audit.kinds import build_registry
from audit.requests import MAX_LEASE_S, MIN_LEASE_S
from audit.signing import PrivateKey

provider = typer.Typer(help="Register a provider key and answer audit requests.", no_args_is_help=True)


@provider.command("register")
def register(
    name: OwnName = None,
    key: SigningKey = DEFAULT_SIGNING_KEY,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Register the provider's name and public key with a service."""
    signer = PrivateKey.load_or_create(key.expanduser())
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        found = register_provider(client, own_name(client, name), signer)
    emit(found, as_json, f"{found['name']} {found['public_key']}")


@provider.command("work")
def list_work(name: OwnName = None, url: Url = DEFAULT_URL, api_key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the requests that wait for an answer."""
    with ServiceClient(url, read_api_key(api_key_file)) as client:
        rows = client.list_work(own_name(client, name))
    emit(rows, as_json, table(rows, ("id", "kind", "auditor", "created_at"), "nothing is waiting"))


@provider.command("answer")
def answer(
    name: OwnName = None,
    run: Annotated[list[Path] | None, typer.Option("--run", help="A run folder, default: this one; repeat for several.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep polling until interrupted.")] = False,
    lease_s: Annotated[int, typer.Option("--lease", min=MIN_LEASE_S, max=MAX_LEASE_S, help="Seconds a claim lasts.")] = LEASE_S,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Answer open requests on this machine; only evidence is sent."""

    def report(result: Answered) -> None:
        emit_line(result.to_json(), as_json, f"{result.audit_id}  {result.kind}  {result.result}  {result.detail}".rstrip())

    with ServiceClient(url, read_api_key(api_key_file)) as client:
        runs = find_runs(run or [Path()])
        agent = Agent(client, own_name(client, name), build_registry(), runs, lease_s=lease_s, say=say)
        if watch:
            agent.watch(threading.Event(), report)
            return
        results = agent.answer_open()
    for result in results:
        report(result)
    if any(result.result == "failed" for result in results):
        raise typer.Exit(Exit.OPERATIONAL)
