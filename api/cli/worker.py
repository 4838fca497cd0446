"""`assay worker`: the jobs of a service, in a process of their own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.options import DEFAULT_DATA, Data, Database, Json, PrivateEndpoints, emit_line
from api.settings import Settings

worker = typer.Typer()


@worker.command()
def worker_command(
    name: Annotated[str, typer.Option("--name", help="Unique name; keep it over restarts.")] = "worker-1",
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Jobs at a time.")] = 2,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    private_endpoints: PrivateEndpoints = False,
    as_json: Json = False,
) -> None:
    """Run jobs until interrupted. Any number of workers may share a database and a data folder."""
    from api.runtime import open_runtime
    from api.serving import run_worker

    def announce(launch: dict[str, Any]) -> None:
        emit_line({"event": "launch", **launch}, as_json, f"worker {launch['worker']} on {launch['data']}")

    run_worker(open_runtime(Settings(data, database, private_endpoints=private_endpoints)), name, concurrency, announce)
