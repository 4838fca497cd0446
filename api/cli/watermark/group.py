"""`assay watermark`: the group. To add a command, write its module and add a line here; modules import what they need on use."""

from __future__ import annotations

import typer

from api.cli.watermark.audits import distortion, robustness, steal
from api.cli.watermark.detect import detect
from api.cli.watermark.generate import generate
from api.cli.watermark.keygen import keygen

watermark = typer.Typer(
    help="Watermarks: keys, marked text, detection with p-values that hold, and audits of a mark.", no_args_is_help=True
)
watermark.command("keygen")(keygen)
watermark.command("generate")(generate)
watermark.command("detect")(detect)
watermark.command("robustness")(robustness)
watermark.command("distortion")(distortion)
watermark.command("steal")(steal)
