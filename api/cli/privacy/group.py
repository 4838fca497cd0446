"""`assay privacy`: the group. To add a command, write its module and add a line here; modules import what they need on use."""

from __future__ import annotations

import typer

from api.cli.privacy.dp_bound import dp_bound
from api.cli.privacy.extract import extract
from api.cli.privacy.membership import membership
from api.cli.privacy.probe import probe
from api.cli.privacy.score_file import test_scores
from api.cli.privacy.subject import subject
from api.cli.privacy.unlearning import unlearning
from api.cli.privacy.uploads import uploads
from api.cli.privacy.whitebox import whitebox

privacy = typer.Typer(help="Leakage of personal and training data: verdicts with exact error control.", no_args_is_help=True)
privacy.add_typer(subject, name="subject")
privacy.add_typer(uploads, name="uploads")
privacy.command("probe")(probe)
privacy.command("whitebox")(whitebox)
privacy.command("extract")(extract)
privacy.command("membership")(membership)
privacy.command("unlearning")(unlearning)
privacy.command("test")(test_scores)
privacy.command("dp-bound")(dp_bound)
