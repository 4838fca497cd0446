"""Models and tokenizers as the commands of the group name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from api.cli.progress import Progress

MAX_MODEL_CONFIG_BYTES = 1 << 20

Tokenizer = Annotated[
    Path | None, typer.Option("--tokenizer", help="tokenizer.json or model directory, for text; tiny is the built-in model's.")
]


def tokenizer_path(named: Path | None, progress: Progress | None = None) -> Path | None:
    """The file or directory a user named; `tiny`, `tiny:SEED` and the like are trained here. Raises RunnerError."""
    if named is None or not str(named).startswith("tiny") or named.exists():
        return named
    from audit.runners.opening import local_folder

    return local_folder(str(named), progress)


def logits_width(folder: Path) -> int | None:
    """The vocabulary size in a model directory's config.json: what the model's logits have, padding included. None without."""
    try:
        with (folder / "config.json").open("rb") as stream:
            size = json.loads(stream.read(MAX_MODEL_CONFIG_BYTES))["vocab_size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return size if type(size) is int and size > 1 else None
