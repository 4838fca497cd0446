"""Options that several commands share, and how they print: data on stdout, messages on stderr."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from api.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from api.client import ServiceClient

KEY_VARIABLE = "ASSAY_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Url = Annotated[str, typer.Option("--url", envvar="ASSAY_URL", help="Address of the service.")]
Data = Annotated[Path, typer.Option("--data", envvar="ASSAY_SERVICE_DATA", help="The service's own folder (mode 0700).")]
Database = Annotated[
    str | None,
    typer.Option("--database", envvar="ASSAY_DATABASE", help="postgresql://... or sqlite:///...; default: a file in --data."),
]
PrivateEndpoints = Annotated[
    bool,
    typer.Option("--private-endpoints", help="Let registered models lie at private and loopback addresses."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", help=f"File that holds the API key; otherwise {KEY_VARIABLE} is read."),
]
OwnName = Annotated[
    str | None,
    typer.Option("--provider", envvar="ASSAY_PROVIDER", help="Name of the provider; default: the owner of the API key."),
]
SigningKey = Annotated[
    Path,
    typer.Option("--key", envvar="ASSAY_PROVIDER_KEY", help="The provider's signing key; made there when absent."),
]
DEFAULT_DATA = Path("assay-service")
DEFAULT_SIGNING_KEY = Path("~/.config/assay/provider.key")


def read_api_key(file: Path | None, *, needed: bool = True) -> str | None:
    """The API key from a file or the environment; never from the command line, which others can see."""
    try:
        key = file.read_text().strip() if file is not None else os.environ.get(KEY_VARIABLE, "").strip()
    except UnicodeDecodeError:
        raise CommandError(f"{file} is no text file; it must hold one API key", Exit.UNAUTHORISED) from None
    if not key and needed:
        raise CommandError(f"an API key is needed: set {KEY_VARIABLE} or give --api-key-file", Exit.UNAUTHORISED)
    return key or None


def list_by_default(context: typer.Context) -> None:
    """What a bare noun does: its `list`, with what the environment says about options."""
    group = context.command
    if context.invoked_subcommand is None and isinstance(group, typer.core.TyperGroup):
        command = group.get_command(context, "list")
        if command is not None:
            command.main([], prog_name=f"{context.command_path} list", standalone_mode=False)


def shown(text: str) -> str:
    """Text with its control characters spelled out: much of it was written by strangers, and a terminal obeys."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def own_name(client: ServiceClient, name: str | None) -> str:
    """The given provider name, or the owner of the API key."""
    return name or str(client.whoami()["owner"])


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print `data` as JSON, or `text` for people."""
    print(json.dumps(data, indent=2) if as_json else shown(text), flush=True)


def emit_line(data: Any, as_json: bool, text: str) -> None:
    """Like `emit`, one JSON value a line, for streams."""
    print(json.dumps(data) if as_json else shown(text), flush=True)


def say(message: str) -> None:
    """A message for people, on stderr."""
    print(shown(message), file=sys.stderr, flush=True)


def table(rows: list[dict[str, Any]], columns: tuple[str, ...], empty: str) -> str:
    """Rows as aligned text."""
    if not rows:
        return empty
    cells = [[str(row.get(column) if row.get(column) is not None else "-") for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(line, widths)) for line in [list(columns), *cells]]
    return "\n".join(line.rstrip() for line in lines)
