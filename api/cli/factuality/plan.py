"""`assay factuality plan`: how many labels for which statement."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from api.cli.options import Json, emit
from api.cli.outcome import clear_errors


def plan(
    alpha: Annotated[str, typer.Option("--alpha", help="Target error.")] = "0.1",
    epsilon: Annotated[str, typer.Option("--epsilon", help="Shortfall of the true coverage that is tolerable.")] = "0.05",
    delta: Annotated[str, typer.Option("--delta", help="PAC mode: chance that the coverage is below target.")] = "0.05",
    calibrated_on: Annotated[
        int | None, typer.Option("--calibrated-on", min=1, help="To audit a vendor: its sample size.")
    ] = None,
    power: Annotated[str, typer.Option("--power", help="Power of that audit against a shortfall of --epsilon.")] = "0.8",
    as_json: Json = False,
) -> None:
    """How many labelled outputs for which statement."""
    from conformal.levels import parse_level
    from conformal.planning import audit_size, size_for_shortfall, smallest_pac_size

    with clear_errors():
        level, short = parse_level(alpha), float(parse_level(epsilon, "epsilon"))
        found: dict[str, Any] = {
            "alpha": alpha,
            "smallest_n": math.ceil(1 / level) - 1,
            "smallest_pac_n": smallest_pac_size(level, parse_level(delta, "delta")),
            "n_for_shortfall": size_for_shortfall(level, short),
        }
        lines = [
            f"below {found['smallest_n']} outputs {alpha} always abstains, in PAC mode below {found['smallest_pac_n']}",
            f"{found['n_for_shortfall']} outputs: true coverage at least 1 - {alpha} - {epsilon} with probability 95 %",
        ]
        if calibrated_on is not None:
            found["audit_n"] = audit_size(calibrated_on, level, short, power=float(parse_level(power, "power")))
            lines.append(f"{found['audit_n']} fresh outputs detect a shortfall of {epsilon} with power {power}")
    emit(found, as_json, "\n".join(lines))
