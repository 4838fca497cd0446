"""`assay factuality boost`: fit scores on a part of the labelled outputs, and compare all of them under the same guarantee."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.calibrate import DEFAULT_ALPHAS
from api.cli.options import Json, emit, say, table
from api.cli.outcome import clear_errors

if TYPE_CHECKING:
    from conformal.claims import ClaimTable
    from conformal.scores.comparison import Kept

COLUMNS = ("alpha", "score", "retention", "claims", "empty", "holds")


def boost(
    claims: Annotated[Path, typer.Option("--claims", help="Claim ledger (.jsonl), published annotations, or arrays (.npz).")],
    score: Annotated[
        list[str] | None, typer.Option("--score", help="Input of the blends; repeat. Default: every score of the ledger.")
    ] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--beside", help="Also compare: a+b, rank(a), position, random:7, a~7 (ties broken).")
    ] = None,
    alpha: Annotated[list[str] | None, typer.Option("--alpha", help="Target error; the first is the one boosted for.")] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="Boost what is kept: by outputs, by claims, or balanced between both.")
    ] = "balanced",
    at_most_false: Annotated[int, typer.Option("--at-most-false", min=0, help="Kept claims that may be false.")] = 0,
    fit_share: Annotated[float, typer.Option("--fit-share", help="Share of the outputs to fit on.")] = 0.1,
    calibrate_share: Annotated[float, typer.Option("--calibrate-share", help="Share to calibrate on; the rest tests.")] = 0.63,
    splits: Annotated[int, typer.Option("--splits", min=1, max=1000, help="Random splits to average over.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first split, of folds and of random scores.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write the boosted score of the first split there (JSON).")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw retention against alpha there (SVG); give several --alpha.")
    ] = None,
    malformed: Annotated[str, typer.Option("--malformed-labels", help="refuse, false or strip (published files).")] = "refuse",
    as_json: Json = False,
) -> None:
    """What every score and blend keeps at the same guarantee; optionally save the boosted one.

    Blends see the labels of the fitting part alone. A saved score is used with `assay factuality calibrate --score
    fitted:FILE` and refuses the outputs it was fitted on (--skip-fitted leaves them out).
    """
    from conformal.levels import parse_level
    from conformal.losses import AtMostFalse
    from conformal.reading import read_claims
    from conformal.scores.boosting import OBJECTIVES
    from conformal.scores.comparison import compare_scores

    if objective not in OBJECTIVES or malformed not in ("refuse", "false", "strip"):
        raise CommandError(
            f"--objective must be one of {', '.join(OBJECTIVES)}; --malformed-labels refuse, false or strip", Exit.USAGE
        )
    with clear_errors():
        ledger, notes, _ = read_claims(claims, malformed)  # type: ignore[arg-type]
        inputs, compared = list(score or sorted(ledger.scores)), list(beside or [])
        compared = list(dict.fromkeys([*inputs, *compared] if beside else [*inputs, *_usual(ledger, inputs, seed)]))
        levels = [parse_level(a) for a in alpha or DEFAULT_ALPHAS]
        shares, loss = (fit_share, calibrate_share), AtMostFalse(at_most_false)
        kept = compare_scores(
            ledger, compared, levels, loss=loss, splits=splits, seed=seed, shares=shares, objective=objective, inputs=inputs
        )  # fmt: skip
        found = {
            "n_outputs": ledger.n_outputs, "n_claims": ledger.n_claims, "loss": loss.name, "objective": objective,
            "splits": splits, "seed": seed, "fit_share": fit_share, "calibrate_share": calibrate_share,
            "inputs": inputs, "boosted_for": str(levels[0]), "levels": [row.to_json() for row in kept], "warnings": list(notes),
        }  # fmt: skip
        if out is not None:
            found["fitted"] = _save(ledger, inputs, levels[0], loss, objective, seed, shares, out)
        if figure is not None:
            figure.write_text(_figure(kept), encoding="utf-8")
    for note in notes:
        say(f"warning: {note}")
    emit(found, as_json, _text(found, kept, out))


def _usual(ledger: ClaimTable, inputs: list[str], seed: int) -> list[str]:
    """Ties broken where most claims share their score with another one; what needs no scorer at all."""
    import numpy as np

    tied = [name for name in inputs if name in ledger.scores and len(np.unique(ledger.scores[name])) * 2 < ledger.n_claims]
    return [*(f"{name}~{seed}" for name in tied), "position", f"random:{seed}"]


def _save(
    ledger: ClaimTable,
    inputs: list[str],
    alpha: Any,
    loss: Any,
    objective: str,
    seed: int,
    shares: tuple[float, float],
    out: Path,
) -> dict[str, Any]:
    from conformal.scores.comparison import Split
    from conformal.scores.fitting import fit_score

    part = ledger.select(Split.draw(ledger.n_outputs, seed, *shares).fit)
    fitted = fit_score(part, inputs, "boosted", alpha, loss, objective, seed=seed)  # type: ignore[arg-type]
    out.write_text(json.dumps(fitted.to_json()) + "\n", encoding="utf-8")
    return {"path": str(out), "sha256": fitted.digest, "outputs": part.n_outputs, "chosen": fitted.settings["chosen"]}


def _figure(kept: list[Kept]) -> str:
    from conformal.figures import retention_panel
    from conformal.panels import draw

    curves: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(kept, key=lambda row: row.alpha):
        curves.setdefault(row.score, []).append((float(row.alpha), row.retention))
    return draw([retention_panel(curves)], "Scores under the same guarantee")


def _text(found: dict[str, Any], kept: list[Kept], out: Path | None) -> str:
    rows = sorted(kept, key=lambda row: (row.alpha, -row.retention))
    shown = [{**row.to_json(), **{c: f"{getattr(row, c):.3f}" for c in COLUMNS[2:]}} for row in rows]
    lines = [
        f"{found['n_outputs']} outputs, {found['n_claims']} claims, {found['loss']}; {found['splits']} split(s)",
        table(shown, COLUMNS, "no score"),
        "retention: mean share of claims kept an output; claims: share of all claims; empty: outputs left without a claim; holds:"
        " test outputs on which the statement held. Figures of the test parts, which neither fitted nor calibrated.",
    ]
    if out is not None:
        lines.append(f"boosted score ({found['fitted']['chosen']}): {out}")
    return "\n".join(lines)
