"""`assay watermark detect`: texts or token ids in, verdicts out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit_line, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from api.cli.watermark.key_options import Config, Family, KeyFiles, key_references
from api.cli.watermark.model_options import Tokenizer, tokenizer_path
from watermark.batch import MAX_JOBS, BatchSettings, run_batch
from watermark.detection import DEFAULT_ALPHA, DetectOptions
from watermark.errors import NotDecidableError, WatermarkError
from watermark.examination import Examination, Examiner, KeyReference
from watermark.normalization import NORMALISATIONS
from watermark.reading import STDIN, Document, InputError, iter_lines, list_files, read_ids, read_text
from watermark.rendering import summary, verdict_line

_EXITS = {"watermarked": Exit.OK, "not_detected": Exit.REFUTED, "inconclusive": Exit.INCONCLUSIVE}
_MEMORY = "not enough memory for this text; split it, or use fewer --jobs"
MAX_PAGE_DOCUMENTS = 100


def detect(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH]...", help="Text files, folders of .txt, or -.")] = None,
    key: KeyFiles = None,
    family: Family = None,
    config: Config = None,
    tokenizer: Tokenizer = None,
    ids: Annotated[bool, typer.Option("--ids", help="The input is token ids: a JSON list, or separated by white space.")] = False,
    batch: Annotated[Path | None, typer.Option("--batch", help="JSONL: id, input_ids or text, and key or family+config.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=MAX_JOBS, help="Processes for --batch.")] = min(
        os.cpu_count() or 1, 8
    ),
    alpha: Annotated[float, typer.Option("--alpha", min=1e-12, max=0.5, help="False-positive rate.")] = DEFAULT_ALPHA,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1_000_000, help="Draws of Monte-Carlo tests at most.")] = 999,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Make Monte-Carlo tests repeatable.")] = None,
    normalise: Annotated[str, typer.Option("--normalise", help=f"Before tokenising: {', '.join(NORMALISATIONS)}.")] = "none",
    spans: Annotated[bool, typer.Option("--spans", help="Also find the stretches that carry the mark.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained page with coloured tokens.")] = None,
    as_json: Json = False,
) -> None:
    """Test texts for a watermark, with p-values that hold whatever the text.

    One document: exit 0 watermarked, 3 no watermark detected (the text was long enough for one of typical strength to show;
    it may still have been removed), 5 inconclusive. Several documents or --batch: 0 all were processed, 1 some were not.
    A p-value speaks about chance under this key only: a mark can be forged by those who learned the key or stole its lists.
    """
    if (batch is None) == (not paths):
        raise CommandError("name a text file, a folder or -, or give --batch FILE.jsonl", Exit.USAGE)
    if normalise not in NORMALISATIONS:
        raise CommandError(f"--normalise takes one of {', '.join(NORMALISATIONS)}", Exit.USAGE)
    if batch is not None and (ids or html is not None):
        raise CommandError("--ids and --html do not go with --batch", Exit.USAGE)
    terminal = sys.stdout.isatty() and not as_json
    with clear_errors(memory=_MEMORY):
        keys = key_references(key or [], family, config)
        tokenizer = tokenizer_path(tokenizer)
        if batch is not None:
            options = DetectOptions(alpha, runs, seed, spans=spans)
            folder = batch.parent if batch != STDIN else Path()
            failed = _detect_batch(batch, BatchSettings(options, tuple(keys), tokenizer, normalise, folder), jobs, as_json)
            raise typer.Exit(Exit.OPERATIONAL if failed else Exit.OK)
        if not keys:
            raise CommandError("a key is needed: --key FILE, or --family with --config", Exit.USAGE)
        evidence = terminal or html is not None
        options = DetectOptions(alpha, runs, seed, tokens=evidence, spans=spans or html is not None)
        documents = list(_find_documents(paths or []))
        if html is not None and len(documents) > MAX_PAGE_DOCUMENTS:
            raise CommandError(f"--html takes at most {MAX_PAGE_DOCUMENTS} documents, not {len(documents)}", Exit.USAGE)
        code = _detect_documents(documents, Examiner(options, tokenizer, normalise), keys, ids, html, as_json, terminal)
    raise typer.Exit(code)


def _find_documents(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path != STDIN and path.is_dir():
            yield from list_files(path)
        else:
            yield path


def _detect_documents(
    paths: list[Path], examiner: Examiner, keys: list[KeyReference], ids: bool, html: Path | None, as_json: bool, terminal: bool
) -> Exit:
    """Test each document; errors of one do not stop the others. The exit code is the verdict's for a single one."""
    found: list[Examination] = []
    code = Exit.OK
    for path in paths:
        try:
            document = Document(str(path), ids=read_ids(path)) if ids else Document(str(path), text=read_text(path))
            result = examiner.examine(document, keys)
        except WatermarkError as error:
            if isinstance(error, InputError) or len(paths) == 1:
                message = str(error)
            else:
                message = f"{path}: {error}"
            code = Exit.INCONCLUSIVE if len(paths) == 1 and isinstance(error, NotDecidableError) else Exit.OPERATIONAL
            if as_json:
                emit_line({"id": str(path), "error": message}, True, "")
            say(f"assay: {message}")
            continue
        if html is not None:
            found.append(result)
        _show(result, examiner, as_json, terminal, single=len(paths) == 1)
        if len(paths) == 1:
            code = _EXITS[result.detection.decision]
    if html is not None and found:
        from watermark.rendering import page

        html.write_text(page(found), encoding="utf-8")
        say(f"wrote {html}")
    return code


def _show(result: Examination, examiner: Examiner, as_json: bool, terminal: bool, single: bool) -> None:
    if as_json:
        emit_line(result.to_json(), True, "")
    elif not single:
        emit_line(None, False, f"{result.id}: {verdict_line(result.detection)}")
    elif terminal:
        from api.cli.watermark.terminal import print_examination

        print_examination(result)
    else:
        emit_line(None, False, "\n".join(summary(result)))


def _detect_batch(path: Path, settings: BatchSettings, jobs: int, as_json: bool) -> int:
    """Process a batch; how many lines failed."""
    done = failed = 0
    with path.open("rb") if path != STDIN else os.fdopen(os.dup(0), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size if path != STDIN else 0
        with shown_progress(sys.stdout.isatty()) as progress:
            for result in run_batch(iter_lines(stream), settings, jobs):
                done += 1
                error = result.get("error")
                failed += error is not None
                if as_json:
                    emit_line(result, True, "")
                elif error is not None:
                    say(f"assay: {error}")
                else:
                    p = "-" if result["p_value"] is None else f"{result['p_value']:.3g}"
                    emit_line(None, False, f"{result['id']}  {result['decision']}  p = {p}  {result['scheme']}")
                if size:
                    progress(min(1.0, stream.tell() / size), f"{done} documents")
    if not done:
        raise CommandError(f"{path} is empty: one JSON object a line is needed")
    if failed:
        say(f"assay: {failed} of {done} lines could not be processed")
    return failed
