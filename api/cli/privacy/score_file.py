"""`assay privacy test`: the statistics alone, on a file of scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say, table
from api.cli.outcome import clear_errors

if TYPE_CHECKING:
    from privacy.score_table import ScoreTable, Variant
    from privacy.score_verdicts import VariantResult

RAW = (
    "raw scores: any model finds a fluent true answer likely, so no verdict follows from them; name a reference with --reference"
)
UNCHECKED = "no decoys in these scores: the calibration rests on the reference alone and was not checked"


def test_scores(
    scores: Annotated[Path, typer.Option("--scores", help="CSV: labels, question, author, true_/alt1_.. tokens and nll.")],
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Labels of the reference's rows (trained_on=retain90,..), or a column prefix (ref_)."),
    ] = None,
    reference_scores: Annotated[
        Path | None, typer.Option("--reference-scores", help="Another file that holds the reference's rows.")
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", min=1e-9, max=0.5, help="False-discovery rate over subjects.")] = 0.05,
    subjects: Annotated[bool, typer.Option("--subjects", help="Also print every subject (always in --json).")] = False,
    as_json: Json = False,
) -> None:
    """Which subjects does each model variant remember? Exact p-values by ranks, Benjamini-Hochberg over subjects.

    Exit 0: every subject has a verdict. 5: association only (no reference), or no verdict (decoys failed).
    """
    from privacy.score_table import read_scores

    labels, prefix = _parse_reference(reference)
    if reference_scores is not None and prefix:
        raise CommandError("--reference-scores goes with labels, not with a column prefix", Exit.USAGE)
    with clear_errors():
        loaded = read_scores(scores, prefix)
        others = read_scores(reference_scores) if reference_scores is not None else loaded
        results = _judge(loaded, others, labels, prefix, reference_scores is not None, alpha)
    undecided = any(result.basis == "none" for result in results)
    raw = labels is None and not prefix and reference_scores is None
    warnings = [RAW] if raw else [UNCHECKED] if any(result.decoys is None for result in results) else []
    for warning in warnings:
        say(f"warning: {warning}")
    emit(_to_json(results, alpha, warnings), as_json, _to_text(results, subjects))
    raise typer.Exit(Exit.INCONCLUSIVE if undecided else Exit.OK)


def _parse_reference(text: str | None) -> tuple[dict[str, str] | None, str]:
    """Labels, or the prefix of columns."""
    if text is None:
        return None, ""
    if "=" not in text:
        if not text:
            raise CommandError("--reference is empty", Exit.USAGE)
        return None, text
    parts = [part.split("=", 1) for part in text.split(",")]
    if any(len(part) != 2 or not part[0].strip() for part in parts):
        raise CommandError("--reference takes labels such as trained_on=retain90,weight_decay=0.01", Exit.USAGE)
    return {key.strip(): value.strip() for key, value in parts}, ""


def _judge(
    loaded: ScoreTable, others: ScoreTable, labels: dict[str, str] | None, prefix: str, elsewhere: bool, alpha: float
) -> list[VariantResult]:
    from privacy.errors import ScoreError
    from privacy.score_verdicts import judge_variant

    results = []
    for variant in loaded.variants:
        found = _reference_of(variant, others, labels, elsewhere)
        if found is not variant:
            results.append(judge_variant(variant, found, bool(prefix), alpha))
    if not results:
        raise ScoreError("the scores hold nothing but the reference")
    return results


def _reference_of(variant: Variant, others: ScoreTable, labels: dict[str, str] | None, elsewhere: bool) -> Variant | None:
    if labels is not None:
        return others.find(labels, variant)
    if not elsewhere:
        return None
    return others.variants[0] if len(others.variants) == 1 else others.find({}, variant)


def _to_json(results: list[VariantResult], alpha: float, warnings: list[str]) -> dict[str, Any]:
    from privacy.score_verdicts import ASSUMPTIONS

    return {
        "alpha": alpha,
        "correction": "Benjamini-Hochberg over subjects",
        "statistic": "sum of ranks of the true answers, ties counted against the accusation; exact convolution null",
        "assumptions": list(ASSUMPTIONS),
        "warnings": warnings,
        "variants": [result.to_json() for result in results],
    }


def _to_text(results: list[VariantResult], subjects: bool) -> str:
    lines = []
    for result in results:
        name = ", ".join(f"{key}={value}" for key, value in result.labels.items()) or "scores"
        first = result.rank_counts[0] / sum(result.rank_counts)
        lines.append(f"{name}\n  {_summary(result)}")
        lines.append(f"  true answer ranks first of {result.candidates} in {first:.3f} (by chance {1 / result.candidates:.3f})")
        if result.decoys is not None:
            lines.append(f"  {result.decoys}")
        if subjects:
            columns = ("subject", "facts", "rank_sum", "p_value", "p_adjusted", "verdict")
            rows = [
                {**one.to_json(), "p_value": _p(one.p_value), "p_adjusted": _p(one.p_adjusted), "verdict": str(one.verdict)}
                for one in result.subjects
            ]
            lines.append(table(rows, columns, "no subject"))
    return "\n".join(lines)


def _summary(result: VariantResult) -> str:
    total = len(result.subjects)
    if result.basis == "none":
        word = result.subjects[0].verdict
        return f"{word}: no verdict on {total} subjects (p below the level for {result.rejected['benjamini_hochberg']})"
    weakest = max((one.verdict.leak_below or 0.0 for one in result.subjects), default=math.nan)
    rest = f"; the others: not detected (leak < {weakest:.3g} at 95 %)" if result.found < total else ""
    return f"memorised: {result.found} of {total} subjects, relative to {result.reference}{rest}"


def _p(value: float) -> str:
    return f"{value:.3g}"
