"""`assay train` and `assay prove`: train in exact integers, prove every step, resume after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from audit.provider.folder import RunFolder
from audit.provider.training import RunReport, prepare, prove_run, read_config

train = typer.Typer(add_completion=False)
prove = typer.Typer(add_completion=False)


@train.command()
def train_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Configuration of the run.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder; an interrupted run in it is resumed.")],
    no_prove: Annotated[bool, typer.Option("--no-prove", help="Stop after the registration; assay prove goes on.")] = False,
    as_json: Json = False,
) -> None:
    """Train in exact integers and prove every step.

    RUN/public may be copied anywhere, RUN/private (mode 0700) never leaves this machine. The same command resumes a run
    that was interrupted.
    """
    with clear_errors(resumes=True), shown_progress(as_json) as progress:
        folder = RunFolder(out)
        text = read_config(config)
        run_id = prepare(text, config.parent.resolve(), folder, progress)
        done = None if no_prove else prove_run(folder, progress)
    if done is None:
        emit({"run_id": run_id, "run": str(out), "proven": False}, as_json, f"run {run_id}\nregistered in {out}, not proven")
        _suggest(as_json, f"assay prove {out}")
        return
    _show(done, out, as_json)


@prove.command()
def prove_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that assay train made.")],
    as_json: Json = False,
) -> None:
    """Prove what a run still lacks: certificate, segments, refreshes."""
    with clear_errors(resumes=True), shown_progress(as_json) as progress:
        done = prove_run(RunFolder(run), progress)
    _show(done, run, as_json)


def _show(done: RunReport, run: Path, as_json: bool) -> None:
    lines = [
        f"run       {done.run_id}",
        f"steps     {done.n_steps} in {done.n_segments} segments, {done.n_refreshes} refreshes",
        f"proofs    {done.proof_bytes / 1e6:.2f} MB in {run / 'public'}",
        f"time      {done.seconds:.1f} s, {done.seconds_proving:.1f} s of it for new proofs",
    ]
    if done.integer_accuracy is not None:
        compared = "" if done.float_accuracy is None else f", float64 {done.float_accuracy:.4f}"
        lines.append(f"accuracy  {done.integer_accuracy:.4f} in integers{compared} (held-out rows)")
    lines += [f"note      {note}" for note in done.notes]
    emit(done.to_json() | {"run": str(run), "proven": True}, as_json, "\n".join(lines))
    _suggest(as_json, f"assay verify {run}")


def _suggest(as_json: bool, command: str) -> None:
    if not as_json:
        say(f"next: {command}")
