"""How an evaluation is computed and shown, for the commands of the group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import emit, say

if TYPE_CHECKING:
    from conformal.linguistic.evaluation import Settings
    from conformal.linguistic.paragraphs import Paragraph
    from conformal.linguistic.readers.protocol import Reader

Bins = Annotated[int, typer.Option("--bins", min=1, max=1000, help="Bins of equal mass.")]
Draws = Annotated[int, typer.Option("--draws", min=19, max=1_000_000, help="Simulations of a calibrated reader.")]
Resamples = Annotated[int, typer.Option("--resamples", min=2, max=100_000, help="Resamples of texts, for intervals.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Everything random comes from it.")]
Svg = Annotated[Path | None, typer.Option("--svg", help="Write the reliability diagram.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a self-contained page with diagram and figures.")]


def report_on(paragraphs: tuple[Paragraph, ...], readers: list[Reader], settings: Settings) -> dict[str, Any]:
    """The evaluation, with what the readers declare about themselves. Raises ConformalError."""
    from conformal.linguistic.evaluation import evaluate, read_all

    found = evaluate(paragraphs, read_all(paragraphs, readers), settings)
    return {**found, "declared": [dict(reader.describe()) for reader in readers]}


def show(found: dict[str, Any], svg: Path | None, html: Path | None, as_json: bool) -> None:
    """Print the evaluation and write the files that were asked for. Raises OSError."""
    from conformal.linguistic.figures import reliability_diagram
    from conformal.linguistic.rendering import page, summary

    answered = any(report.get("diagram") for report in found["readers"].values())
    if svg is not None and answered:
        svg.write_text(reliability_diagram(found["readers"]), encoding="utf-8")
        say(f"wrote {svg}")
    elif svg is not None:
        say(f"no reader answered a question: {svg} was not written")
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
        say(f"wrote {html}")
    emit(found, as_json, summary(found))
