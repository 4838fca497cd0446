"""`assay watermark keygen`: a new key file, and what may be published of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit
from api.cli.outcome import clear_errors
from api.cli.watermark.key_options import parse_options
from api.cli.watermark.model_options import logits_width, tokenizer_path
from watermark.presets import ALIASES, PRESETS, find_preset

_SCHEMES = ", ".join([*PRESETS, *ALIASES])


def keygen(
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the key file (mode 0600); it must not exist.")],
    scheme: Annotated[str | None, typer.Option("--scheme", help=f"Scheme by name: {_SCHEMES}.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Instead of --scheme: the watermark family.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Member of the configuration as name=value; repeat for several.")
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option("--vocab-size", min=2, help="Size of the vocabulary the mark is embedded in: the model's logits."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="Bind the key to this tokenizer or model directory; sets the default --vocab-size."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a watermark key. Prints its commitment, which may be published before anything is marked, and its hazards.

    The key file holds the secret; detection needs it. Keep a copy: a lost key cannot be made again.
    """
    if (scheme is None) == (family is None):
        raise CommandError(f"give either --scheme ({_SCHEMES}) or --family", Exit.USAGE)
    with clear_errors():
        from datetime import UTC, datetime

        from watermark.keys import new_key, save_key

        options = parse_options(option or [])
        digest = None
        where = tokenizer_path(tokenizer)
        if where is not None:
            from watermark.tokenization import load_tokenizer

            loaded = load_tokenizer(where)
            digest, vocab_size = loaded.digest, vocab_size or logits_width(where) or loaded.vocab_size
            loaded.check_vocabulary(vocab_size)
        if vocab_size is not None:
            options["vocab_size"] = vocab_size
        if scheme is not None:
            preset = find_preset(scheme)
            if preset.needs_vocabulary and "vocab_size" not in options:
                raise CommandError(f"the scheme {scheme} needs --vocab-size (or --tokenizer)", Exit.USAGE)
            family, options = preset.family, {**preset.options, **options}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        key, hazards = new_key(str(family), options, created, digest)
        save_key(key, out)
        found: dict[str, Any] = {
            "file": str(out),
            "family": key.family,
            "commitment": key.commitment,
            "public": key.public,
            "tokenizer": digest,
            "hazards": list(hazards),
        }
    lines = [f"commitment {key.commitment}", f"family     {key.family}", f"public     {json.dumps(key.public)}"]
    lines += [f"hazard     {sentence}" for sentence in hazards]
    emit(found, as_json, "\n".join([*lines, f"key file   {out} (secret, mode 0600)"]))
