"""Keys as the commands of the group take them: files, or a family with its configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from watermark.examination import KeyReference
from watermark.keys import load_key

MAX_CONFIG_BYTES = 1 << 20

KeyFiles = Annotated[
    list[Path] | None,
    typer.Option("--key", help="Key file; repeat to search several keys (p-values are then adjusted for the search)."),
]
Family = Annotated[str | None, typer.Option("--family", help="Instead of a key file: the watermark family, with --config.")]
Config = Annotated[str | None, typer.Option("--config", help="The family's configuration as JSON, or @FILE that holds it.")]


def key_references(files: Sequence[Path], family: str | None, config: str | None) -> list[KeyReference]:
    """The keys to detect with; empty when none is named. Raises CommandError (usage), KeyFileError."""
    if (family is None) != (config is None):
        raise CommandError("--family and --config belong together", Exit.USAGE)
    if family is not None and files:
        raise CommandError("give either --key, or --family and --config, not both", Exit.USAGE)
    if family is not None and config is not None:
        return [KeyReference(family, read_object(config, "--config"))]
    return [KeyReference.of(load_key(path)) for path in files]


def read_object(argument: str, option: str) -> dict[str, Any]:
    """A JSON object, or the one in the file named after @. Raises CommandError (usage); the content is never repeated."""
    if argument.startswith("@"):
        with Path(argument[1:]).open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
    else:
        data = argument.encode("utf-8", "surrogateescape")
    where = f"{option} {argument if argument.startswith('@') else ''}".rstrip()
    if len(data) > MAX_CONFIG_BYTES:
        raise CommandError(f"{where} is larger than {MAX_CONFIG_BYTES} bytes", Exit.USAGE)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise CommandError(f"{where} is not JSON", Exit.USAGE) from None
    if not isinstance(content, dict):
        raise CommandError(f"{where} must be a JSON object", Exit.USAGE)
    return content


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """name=value pairs; a value that is JSON is taken as such, anything else as a string. Raises CommandError (usage)."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(f"--option takes name=value, not {pair[:60]!r}", Exit.USAGE)
        try:
            out[name] = json.loads(value)
        except (ValueError, RecursionError):
            out[name] = value
    return out
