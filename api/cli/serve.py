"""`assay serve`: the HTTP service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.options import DEFAULT_DATA, Data, Database, Json, PrivateEndpoints, emit_line
from api.settings import DEFAULT_CONSENT_USES, DEFAULT_HOST, DEFAULT_PORT, Settings

serve = typer.Typer()


@serve.command()
def serve_command(
    data: Data = DEFAULT_DATA,
    database: Database = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run jobs in this process too.")] = True,
    private_endpoints: PrivateEndpoints = False,
    consent_uses: Annotated[
        int,
        typer.Option(
            "--consent-uses", min=1, help="Consents a person or name may use in 30 days for one model and type of item."
        ),
    ] = DEFAULT_CONSENT_USES,
    as_json: Json = False,
) -> None:
    """Serve the HTTP API until interrupted."""
    from api.runtime import open_runtime
    from api.serving import serve as run_server

    def announce(launch: dict[str, Any]) -> None:
        emit_line({"event": "launch", **launch}, as_json, f"serving {launch['url']} from {launch['data']}")

    settings = Settings(data, database, host, port, "serve" if worker else None, private_endpoints, consent_uses)
    run_server(open_runtime(settings), announce)
