"""`assay calibration evaluate`: whether the confidence that texts state can be trusted, as declared readers take it from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.calibration.reader_options import Device, Plain, Readers, Samples, open_readers
from api.cli.calibration.report_options import Bins, Draws, Html, Resamples, Seed, Svg, report_on, show
from api.cli.options import Json
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress

_MEMORY = "not enough memory; split the file, or take fewer --draws"


def evaluate(
    paragraphs: Annotated[Path, typer.Argument(help="JSONL: id, text, questions with options and truth (docs/formats.md).")],
    reader: Readers = None,
    plain: Plain = "1",
    samples: Samples = 10,
    bins: Bins = 20,
    draws: Draws = 1999,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    svg: Svg = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Accuracy, Brier with its parts, log score, ECE beside its noise floor, tests of calibration, intervals by text.

    Readers: those whose distributions the file brings, and every --reader; without either, extractive.
    """
    with clear_errors(memory=_MEMORY):
        from conformal.linguistic.evaluation import Settings
        from conformal.linguistic.paragraphs import read_paragraphs

        found = read_paragraphs(paragraphs)
        brings = any(asked.readings for paragraph in found for asked in paragraph.questions)
        specs = reader or ([] if brings else ["extractive"])
        settings = Settings(bins=bins, draws=draws, resamples=resamples, seed=seed)
        with shown_progress(as_json) as progress, open_readers(specs, plain, samples, seed, device, progress) as readers:
            report = report_on(found, readers, settings)
        show(report, svg, html, as_json)
