"""`assay estimate`: what a run will take, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, emit
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from audit.provider.estimate import Estimate, estimate_run
from audit.provider.training import read_config

estimate = typer.Typer(add_completion=False)


@estimate.command()
def estimate_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Configuration of the run.")],
    as_json: Json = False,
) -> None:
    """Time, memory and proof size of a run, before it starts. Writes nothing.

    Sizes come from the compiled schedules; times and memory are those measured on a 2-core
    x86-64 machine.
    """
    with clear_errors(), shown_progress(as_json) as progress:
        found = estimate_run(read_config(config), config.parent.resolve(), progress)
    emit(found.to_json(), as_json, _text(found))


def _text(found: Estimate) -> str:
    lines = [
        f"profile   {found.profile}",
        f"steps     {found.n_steps} in {found.n_segments} segments of {found.segment_steps}, {found.n_refreshes} refreshes",
        f"proofs    {found.proof_bytes / 1e6:.2f} MB",
        f"proving   {_seconds(found.seconds_proving)} of CPU, {found.seconds_proving / found.n_steps * 1000:.1f} ms a step",
        f"verifying {_seconds(found.seconds_verifying)} of CPU",
        f"memory    {found.memory_bytes / 1e6:.0f} MB",
        "",
        f"{'':4s} {'statement':34s} {'leaves':>10s} {'slots':>10s} {'rows':>6s} {'proof':>9s}",
    ]
    for count, shape in found.shapes:
        size = f"{shape.proof_bytes / 1000:.0f} kB"
        lines.append(f"{count:4d} {shape.name:34s} {shape.n_leaves:10d} {shape.n_slots:10d} {shape.n_rows:6d} {size:>9s}")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 600 else f"{value / 60:.0f} min" if value < 36000 else f"{value / 3600:.1f} h"
