"""`assay calibration run`: a model writes the paragraphs, readers answer from them, and the answers are evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.calibration.reader_options import Device, Plain, Readers, Samples, open_readers, open_texts
from api.cli.calibration.report_options import Bins, Draws, Html, Resamples, Seed, Svg, report_on, show
from api.cli.options import Json, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress

_MEMORY = "not enough memory for this model; choose a smaller one, a smaller --batch, or --device cpu"


def run(
    model: Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")],
    questions: Annotated[Path, typer.Option("--questions", help="JSONL as for evaluate, text null, with prompt if you like.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="JSONL of the paragraphs; the same command goes on with it.")],
    reader: Readers = None,
    plain: Plain = "1",
    samples: Samples = 10,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, max=1 << 16)] = 300,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=100.0, help="0 is greedy.")] = 0.3,
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Paragraphs asked for at once.")] = 16,
    bins: Bins = 20,
    draws: Draws = 1999,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    svg: Svg = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Write one paragraph for every line of --questions, then evaluate them as `assay calibration evaluate` does.

    Resumes after a kill. A model that reads its own paragraphs (--reader options:SAME) flatters itself; name a second reader.
    """
    with clear_errors(resumes=True, memory=_MEMORY):
        from conformal.linguistic.evaluation import Settings
        from conformal.linguistic.paragraphs import read_paragraphs
        from conformal.linguistic.writing import Writing, write_paragraphs

        tasks = read_paragraphs(questions)
        settings = Settings(bins=bins, draws=draws, resamples=resamples, seed=seed)
        with shown_progress(as_json) as progress:
            with open_texts(model, device, progress) as texts:
                writing = Writing(max_new_tokens, temperature, seed, batch)
                written = write_paragraphs(texts, texts.name, tasks, out, writing, progress)
                name = texts.name
            say(f"wrote {out}")
            with open_readers(reader or ["extractive"], plain, samples, seed, device, progress) as readers:
                report = report_on(written, readers, settings)
        show({**report, "model": name}, svg, html, as_json)
