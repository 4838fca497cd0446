"""`assay privacy dp-bound`: a lower bound on epsilon from a file of canary scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit
from api.cli.outcome import clear_errors

METHODS = ("grid", "split", "splits", "fixed", "many-sample")


def dp_bound(
    canaries: Annotated[Path, typer.Option("--canaries", "--scores", help="CSV with the columns score and included (1/0).")],
    method: Annotated[str, typer.Option("--method", help=f"One of {', '.join(METHODS)}.")] = "grid",
    k_minus: Annotated[int | None, typer.Option("--k-minus", min=0, help="fixed: lowest scores guessed as out.")] = None,
    k_plus: Annotated[int | None, typer.Option("--k-plus", min=0, help="fixed: highest scores guessed as in.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", min=1e-9, max=0.5, help="The bound is wrong with this chance.")] = 0.05,
    delta: Annotated[float, typer.Option("--delta", min=0, max=0.999, help="Of the (epsilon, delta) claim.")] = 0.0,
    claim: Annotated[float | None, typer.Option("--claim", min=0, help="The epsilon that is claimed: refuted above it.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of splits and of the order of ties.")] = 0,
    as_json: Json = False,
) -> None:
    """How much does training leak at least? A bound that holds with probability 1 - alpha whatever the thresholds.

    grid, split, splits: one training run, cut-offs searched without breaking the bound. fixed: one run, cut-offs given before
    the scores were seen. many-sample: every score from a training run of its own. Exit 3: --claim is refuted.
    """
    if method not in METHODS:
        raise CommandError(f"--method is one of {', '.join(METHODS)}", Exit.USAGE)
    if (method == "fixed") != (k_minus is not None or k_plus is not None):
        raise CommandError("--k-minus and --k-plus go with --method fixed, which needs them", Exit.USAGE)
    with clear_errors():
        found, text = _bound(canaries, method, (k_minus or 0, k_plus or 0), alpha, delta, seed)
    refuted = claim is not None and found["epsilon_lower"] > claim
    found |= {"claimed_epsilon": claim, "claim_refuted": refuted if claim is not None else None}
    lines = [f"epsilon >= {found['epsilon_lower']:.4g} with confidence {1 - alpha:g} at delta {delta:g}", text]
    if claim is not None:
        lines.append(f"the claim epsilon <= {claim:g} is {'refuted' if refuted else 'not refuted, which does not confirm it'}")
    emit(found, as_json, "\n".join(lines))
    raise typer.Exit(Exit.REFUTED if refuted else Exit.OK)


def _bound(
    path: Path, method: str, cut_offs: tuple[int, int], alpha: float, delta: float, seed: int
) -> tuple[dict[str, Any], str]:  # fmt: skip
    from privacy.dp_bounds.canaries import read_canaries
    from privacy.dp_bounds.cut_offs import Search, bound_by_grid, bound_by_split, bound_by_splits
    from privacy.dp_bounds.many_sample import bound_many_sample
    from privacy.dp_bounds.one_run import CutOffs, bound_one_run

    scores = read_canaries(path)
    common = {"method": method, "alpha": alpha, "delta": delta, "seed": seed, "canaries": scores.m}
    if method == "many-sample":
        many = bound_many_sample(scores, alpha, delta)
        text = f"{many.direction} of {many.included} canaries in and {many.excluded} out, all thresholds at once"
        details = {"included": many.included, "excluded": many.excluded, "direction": many.direction}
        return {**common, "epsilon_lower": many.epsilon, **details}, text
    if method == "fixed":
        run, searched = bound_one_run(scores, CutOffs(*cut_offs), alpha, delta, seed), 1
    else:
        bounds: dict[str, Callable[..., Search]] = {"grid": bound_by_grid, "split": bound_by_split, "splits": bound_by_splits}
        found = bounds[method](scores, alpha, delta, seed=seed)
        run, searched = found.best, found.searched
    guesses = {"guesses": run.guesses, "correct": run.correct, "k_minus": run.cut_offs.k_minus, "k_plus": run.cut_offs.k_plus}
    text = f"{run.correct} of {run.guesses} guesses right among {scores.m} canaries"
    return {**common, "epsilon_lower": run.epsilon, **guesses, "searched": searched}, text
