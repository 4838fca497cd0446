"""`assay watermark generate`: text that carries the mark of a key, or the same text without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit_line, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from watermark.errors import WatermarkError
from watermark.keys import WatermarkKey, load_key
from watermark.reading import InputError, check_ids, iter_lines, parse_json

if TYPE_CHECKING:
    from audit.runners.protocol import Runner

MAX_PROMPTS = 100_000
_MEMORY = "not enough memory for this model; choose a smaller one, or --device cpu"


@dataclass(frozen=True)
class _Prompt:
    id: str | int
    text: str | None
    ids: tuple[int, ...] | None


def generate(
    model: Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")],
    key: Annotated[Path | None, typer.Option("--key", help="Key file of the mark.")] = None,
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="Text to continue; repeat for several.")] = None,
    prompts: Annotated[Path | None, typer.Option("--prompts", help="JSONL: id, and prompt (text) or input_ids.")] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, max=1 << 20)] = 200,
    min_new_tokens: Annotated[int, typer.Option("--min-new-tokens", min=0, max=1 << 20)] = 0,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=100.0, help="0 is greedy.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", min=0.0, max=1.0, help="1 switches it off.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="0 switches it off.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same text.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    no_mark: Annotated[bool, typer.Option("--no-mark", help="Write without a mark, for comparison.")] = False,
    text: Annotated[bool, typer.Option("--text", help="In JSONL: text to detect in, instead of input_ids.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="JSONL, or the bare text of one answer (.txt).")] = None,
    as_json: Json = False,
) -> None:
    """Continue prompts with a model and embed the mark of a key. Deterministic by --seed where the model is.

    Writes JSONL that `assay watermark detect --batch` reads: id, input_ids (with --text: text), and what belongs to them.
    """
    if (key is None) != no_mark:
        raise CommandError("give --key for marked text, or --no-mark without a key", Exit.USAGE)
    if (prompts is None) == (not prompt):
        raise CommandError("give --prompt or --prompts FILE.jsonl", Exit.USAGE)
    with clear_errors(memory=_MEMORY):
        asked = _read_prompts(prompts) if prompts else [_Prompt(f"prompt-{i}", t, None) for i, t in enumerate(prompt or [], 1)]
        plain = out is not None and out.suffix == ".txt"
        if plain and len(asked) != 1:
            raise CommandError(f"a .txt file takes one answer, not {len(asked)}; name a .jsonl file", Exit.USAGE)
        opened = load_key(key) if key is not None else None
        settings = {
            "max_new_tokens": max_new_tokens,
            "min_new_tokens": min_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "seed": seed,
        }
        rows = _write(model, device, asked, opened, settings, text)
        if out is not None:
            body = rows[0][1] if plain else "".join(json.dumps(row) + "\n" for row, _ in rows)
            out.write_text(body, encoding="utf-8")
            say(f"wrote {out}")
    if as_json or out is None:
        for row, written in rows:
            emit_line(row, as_json, written)


def _write(
    model: str, device: str, asked: list[_Prompt], key: WatermarkKey | None, settings: dict[str, Any], as_text: bool
) -> list[tuple[dict[str, Any], str]]:
    """The rows of the output, each with its text."""
    from audit.runners.opening import open_runner
    from audit.runners.protocol import Prompt, Sampling

    with shown_progress() as progress:
        runner = open_runner(model, device=device, allow_private=True, progress=progress)
        try:
            mark = _open_mark(key, runner) if key is not None else None
            wanted = [Prompt(text=one.text) if one.ids is None else Prompt(token_ids=one.ids) for one in asked]
            answers = runner.generate(wanted, Sampling(**settings, mark=mark), progress)
            attested = runner.attestation()
        finally:
            runner.close()
    shared = {
        "marked_with": key.commitment if key is not None else None,
        "model": attested.model,
        "model_digest": attested.model_digest,
        "sampling": settings,
    }
    rows = []
    for one, answer in zip(asked, answers, strict=True):
        ids = list(answer.token_ids) if answer.token_ids is not None else None
        if as_text or ids is None:
            found: dict[str, Any] = {"id": one.id, "text": answer.text, "generated_ids": ids}
        else:
            found = {"id": one.id, "input_ids": ids, "generated_text": answer.text}
        rows.append(({**found, "finish_reason": answer.finish_reason, **shared}, answer.text))
    return rows


def _open_mark(key: WatermarkKey, runner: Runner) -> Any:
    """The mark of a key, checked against the model. Raises CommandError, ConfigError."""
    offered = runner.capabilities()
    if not offered.logits_processors:
        raise CommandError("this model takes no logits processors, so that no mark can be embedded; use tiny or a directory")
    size = key.config.get("vocab_size")
    if size is not None and offered.vocab_size is not None and size != offered.vocab_size:
        raise CommandError(
            f"this key is for a vocabulary of {size}, the model has {offered.vocab_size} logits; "
            f"make a key with --vocab-size {offered.vocab_size}"
        )
    from watermark.generation.marks import open_mark

    return open_mark(key.family, key.config)


def _read_prompts(path: Path) -> list[_Prompt]:
    """The prompts of a JSONL file. Raises InputError with the line's number: nothing is generated from half a list."""
    with path.open("rb") as stream:
        found = list(_parse_prompts(iter_lines(stream)))
    if not found:
        raise InputError(f"{path} is empty: one JSON object a line is needed")
    return found


def _parse_prompts(lines: Iterator[tuple[int, bytes | None]]) -> Iterator[_Prompt]:
    for count, (number, line) in enumerate(lines, start=1):
        try:
            content = parse_json(line, "this line") if line is not None else None
            if not isinstance(content, dict) or count > MAX_PROMPTS:
                raise InputError("a JSON object is needed" if count <= MAX_PROMPTS else f"more than {MAX_PROMPTS} prompts")
            name, text, ids = content.get("id", f"line-{number}"), content.get("prompt"), content.get("input_ids")
            if type(name) not in (str, int) or (text is None) == (ids is None):
                raise InputError("id (a string or integer) and exactly one of prompt and input_ids are needed")
            if text is not None and not isinstance(text, str):
                raise InputError("prompt must be a string")
            if ids is not None and not isinstance(ids, list):
                raise InputError("input_ids must be a list of integers")
            yield _Prompt(name, text, tuple(check_ids(ids).tolist()) if ids is not None else None)
        except WatermarkError as error:
            raise InputError(f"line {number}: {error}") from None
