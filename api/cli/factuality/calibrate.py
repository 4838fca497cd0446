"""`assay factuality calibrate`: back-off thresholds from labelled claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import Components
from api.cli.factuality.issue import CertificateOptions, issue_certificate
from api.cli.factuality.score_option import open_score
from api.cli.options import Json, emit, say, table
from api.cli.outcome import clear_errors

if TYPE_CHECKING:
    from conformal.calibration import Calibrator

DEFAULT_ALPHAS = ("0.05", "0.1", "0.15", "0.2", "0.3")


def calibrate(
    claims: Annotated[Path, typer.Option("--claims", help="Claim ledger (.jsonl), published annotations, or arrays (.npz).")],
    score: Annotated[
        str,
        typer.Option("--score", help="Name of the score, larger = more confident; also a+b, rank(a), position, fitted:FILE."),
    ],
    alpha: Annotated[list[str] | None, typer.Option("--alpha", help="Target error; repeat for several. 0.1 or 1/3.")] = None,
    at_most_false: Annotated[int, typer.Option("--at-most-false", min=0, help="Kept claims that may be false.")] = 0,
    fraction: Annotated[str | None, typer.Option("--fraction", help="Instead: this fraction of the kept claims is true.")] = None,
    delta: Annotated[str | None, typer.Option("--delta", help="PAC mode: coverage holds with probability 1 - delta.")] = None,
    by_group: Annotated[bool, typer.Option("--by-group", help="A threshold of its own for every group.")] = False,
    closed: Annotated[bool, typer.Option("--closed", help="A claim goes when a premise of it goes.")] = False,
    subjective_false: Annotated[bool, typer.Option("--subjective-false", help="Count label S as false.")] = False,
    unverifiable_true: Annotated[bool, typer.Option("--unverifiable-true", help="Count label U as true.")] = False,
    malformed: Annotated[str, typer.Option("--malformed-labels", help="refuse, false or strip (published files).")] = "refuse",
    jitter: Annotated[bool, typer.Option("--jitter", help="Break ties by a fixed hash of the claim's position (.npz).")] = False,
    skip_fitted: Annotated[bool, typer.Option("--skip-fitted", help="Leave out what a fitted:FILE score was fitted on.")] = False,
    influence: Annotated[bool, typer.Option("--influence", help="Also flip every label once: how much does one matter?")] = False,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="Also write a signed certificate there.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Signing key of the certificate (assay keys signing FILE).")] = None,
    components: Components = None,
    held_out: Annotated[Path | None, typer.Option("--held-out", help="Fresh labelled outputs to report rates on.")] = None,
    fitted_on: Annotated[Path | None, typer.Option("--fitted-on", help="Outputs a learned score was fitted on.")] = None,
    minimum_n: Annotated[int | None, typer.Option("--minimum-n", min=1, help="Smaller groups abstain.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How long the certificate is valid.")] = 90,
    issued: Annotated[str | None, typer.Option("--issued", help="2026-01-31T00:00:00Z; default: now.")] = None,
    as_json: Json = False,
) -> None:
    """Thresholds with a finite-sample guarantee, and what they cost: retention, empty outputs, interval of the coverage."""
    from conformal.labels import LabelPolicy
    from conformal.levels import parse_level

    options = CertificateOptions(certificate, key, components, held_out, fitted_on, minimum_n, days, issued)
    options.check(len(alpha or DEFAULT_ALPHAS), jitter)
    with clear_errors():
        calibrator, notes, described = _calibrator(
            claims,
            score,
            at_most_false,
            fraction,
            closed,
            not subjective_false,
            unverifiable_true,
            malformed,
            jitter,
            skip_fitted,
        )
        mode_delta = parse_level(delta, "delta") if delta is not None else None
        rows = [_level(calibrator, parse_level(a), a, mode_delta, by_group, influence) for a in alpha or DEFAULT_ALPHAS]
        written = issue_certificate(
            options, calibrator, score, LabelPolicy(not subjective_false, unverifiable_true),
            parse_level((alpha or DEFAULT_ALPHAS)[0]), mode_delta, by_group, closed, malformed,  # type: ignore[arg-type]
        )  # fmt: skip
    for note in notes:
        say(f"warning: {note}")
    from conformal.calibration import ARITHMETIC_NOTE

    found = {**described, "mode": "marginal" if delta is None else "pac", "delta": delta, "levels": rows, "warnings": list(notes)}
    found["leave_one_out_note"] = ARITHMETIC_NOTE
    if len(rows) == 1:
        found = {**found, "threshold": rows[0]["threshold"]}
    if written is not None:
        found["certificate"] = written
    columns = ("alpha", "threshold", "rank", "factuality", "retention", "empty", "coverage")
    shown = [{**row, "coverage": "{:.3f} - {:.3f}".format(*row["interval"])} for row in rows]
    text = table([{key: _short(row[key]) for key in columns} for row in shown], columns, "no level")
    rule = f"keep score {found['comparator']} threshold; factuality, retention, empty: leave-one-out ({ARITHMETIC_NOTE})"
    head = f"{described['n_outputs']} outputs, {described['n_claims']} claims, {described['loss']}"
    emit(found, as_json, "\n".join([head, text, rule, *_certified(written)]))


def _certified(written: dict[str, Any] | None) -> list[str]:
    if written is None:
        return []
    return [f"certificate {written['sha256']} in {written['file']}, until {written['expires']}", *written["conditions"]]


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _calibrator(
    path: Path, score: str, allowed: int, fraction: str | None, closed: bool,
    subjective: bool, unverifiable: bool, malformed: str, jitter: bool, skip_fitted: bool,
) -> tuple[Calibrator, tuple[str, ...], dict[str, Any]]:  # fmt: skip
    from conformal.arrays import hash_jitter
    from conformal.calibration import Calibrator
    from conformal.labels import LabelPolicy
    from conformal.losses import AtMostFalse, FractionTrue, Loss
    from conformal.reading import read_claims

    if malformed not in ("refuse", "false", "strip"):
        raise CommandError("--malformed-labels must be refuse, false or strip", Exit.USAGE)
    if fraction is not None and allowed:
        raise CommandError("give either --fraction or --at-most-false", Exit.USAGE)
    claims, notes, noisy = read_claims(path, malformed)  # type: ignore[arg-type]
    policy = LabelPolicy(subjective, unverifiable)
    loss: Loss = FractionTrue.parse(fraction) if fraction is not None else AtMostFalse(allowed)
    claims, values = open_score(claims, score, skip_fitted)
    values = hash_jitter(values) if jitter else values
    built = Calibrator.build(claims, values, claims.truth(policy), loss, ">=" if noisy else ">", closed)
    described = {
        "n_outputs": claims.n_outputs,
        "n_claims": claims.n_claims,
        "score": score,
        "loss": loss.name,
        "label_policy": policy.to_json(),
        "comparator": built.comparator,
        "closed": closed,
        "base_rate": float((built.conformity == float("-inf")).mean()),
    }
    return built, notes, described


def _level(calibrator: Calibrator, alpha: Any, text: str, delta: Any, by_group: bool, influence: bool) -> dict[str, Any]:
    from conformal.calibration import group_thresholds
    from conformal.influence import label_influence

    mode = ("pac", delta) if delta is not None else ("marginal",)
    found = calibrator.threshold(alpha, *mode)
    loo = calibrator.leave_one_out(alpha)
    row: dict[str, Any] = {
        "alpha": text,
        "threshold": _json(found.value),
        "rank": found.rank,
        "abstains_always": found.rank is None,
        "interval": list(found.interval),
        "expected_coverage": found.expected_coverage,
        "factuality": loo.holds,
        "retention": loo.retention,
        "removed": 1 - loo.retention,
        "empty": loo.empty,
    }
    if by_group:
        groups = group_thresholds(calibrator, alpha, *mode)
        row["groups"] = {
            name: {"n": t.n, "rank": t.rank, "threshold": _json(t.value), "interval": list(t.interval)}
            for name, t in groups.items()
        }
    if influence:
        row["influence"] = label_influence(calibrator, alpha).to_json()
    return row


def _json(value: float) -> float | str:
    return value if abs(value) != float("inf") else ("Infinity" if value > 0 else "-Infinity")
