"""`assay calibration`: the group. To add a command, write its module and add a line; modules import what they need on use."""

from __future__ import annotations

import typer

from api.cli.calibration.evaluate import evaluate
from api.cli.calibration.run import run
from api.cli.calibration.train import train

calibration = typer.Typer(
    help="Stated confidence: does a text's 70 % come true 70 % of the time? Evaluate, run on a model, train.",
    no_args_is_help=True,
)
calibration.command("evaluate")(evaluate)
calibration.command("run")(run)
calibration.command("train")(train)
