"""`assay commit`: commit to a dataset or a model without revealing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from audit.provider.commit import Committed, DatasetOptions, ModelOptions, commit_dataset_to, commit_model_to
from audit.provider.folder import RunFolder

commit = typer.Typer(help="Commit to a dataset or a model without revealing it.", no_args_is_help=True, add_completion=False)
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the commitment; an interrupted one is resumed.")]
Profile = Annotated[str, typer.Option("--profile", help="auto, S10, S13, S14 or S15.")]


@commit.command("dataset")
def dataset_command(
    source: Annotated[str, typer.Argument(metavar="PATH", help="A .npz, .csv or .parquet file, or sklearn:NAME.")],
    out: Out,
    task: Annotated[str, typer.Option("--task", help="auto, classes or values: what the target column holds.")] = "auto",
    standardise: Annotated[bool, typer.Option("--standardise", help="Centre and scale every feature first.")] = False,
    scale: Annotated[int | None, typer.Option("--scale", help="Fraction bits of features; default: finest up to 8.")] = None,
    profile: Profile = "auto",
    as_json: Json = False,
) -> None:
    """Commit every row of a dataset and prove that its values lie in the stated windows."""
    options = DatasetOptions(task, standardise, scale, profile)
    with clear_errors(resumes=True), shown_progress(as_json) as progress:
        done = commit_dataset_to(source, options, RunFolder(out), progress)
    shape = f"{done.description['rows']} rows, {done.description['features']} features of {done.description['x_bits']} bits"
    _show(done, shape, out, as_json)


@commit.command("model")
def model_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Weights: .npz, .safetensors, or a folder with one of them.")],
    out: Out,
    feature_scale: Annotated[int, typer.Option("--feature-scale", help="Fraction bits of the model's inputs.")] = 8,
    weight_scale: Annotated[
        int | None, typer.Option("--weight-scale", help="Fraction bits of weights; default: finest up to 24.")
    ] = None,
    loss: Annotated[str, typer.Option("--loss", help="softmax_ce (classifier) or squared_error.")] = "softmax_ce",
    profile: Profile = "auto",
    as_json: Json = False,
) -> None:
    """Commit the weights of a model and prove that every one fits 32 bits."""
    options = ModelOptions(feature_scale, weight_scale, loss, profile)
    with clear_errors(resumes=True), shown_progress(as_json) as progress:
        done = commit_model_to(path, options, RunFolder(out), progress)
    scales = done.description["scales"]
    shape = f"layers {done.description['layers']}, weights at {scales['s_x'] + scales['s_d'] + scales['e']} fraction bits"
    _show(done, shape, out, as_json)


def _show(done: Committed, shape: str, out: Path, as_json: bool) -> None:
    text = f"{done.record}\n{shape}; certificate of {done.proof_bytes / 1e6:.2f} MB in {out / 'public'}"
    emit({"record": done.record, "proof_bytes": done.proof_bytes, "folder": str(out), **done.description}, as_json, text)
    if not as_json:
        say(f"next: assay verify {out}")
