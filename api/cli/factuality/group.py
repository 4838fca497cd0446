"""`assay factuality`: the group. To add a command, write its module and add a line here; modules import what they need on use."""

from __future__ import annotations

import typer

from api.cli.factuality.audit import audit
from api.cli.factuality.boost import boost
from api.cli.factuality.calibrate import calibrate
from api.cli.factuality.drift import drift
from api.cli.factuality.filter import filter_claims
from api.cli.factuality.plan import plan
from api.cli.factuality.replay import replay_certificate
from api.cli.factuality.run import run

factuality = typer.Typer(help="Calibrate, audit and plan factuality guarantees over claims.", no_args_is_help=True)
factuality.command("calibrate")(calibrate)
factuality.command("filter")(filter_claims)
factuality.command("replay")(replay_certificate)
factuality.command("boost")(boost)
factuality.command("audit")(audit)
factuality.command("plan")(plan)
factuality.command("run")(run)
factuality.command("drift")(drift)
