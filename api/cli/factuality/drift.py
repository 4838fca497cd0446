"""`assay factuality drift`: labelled outputs, in the order they came, against those a threshold was calibrated on."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.score_option import PREFIX, open_score
from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors

if TYPE_CHECKING:
    from conformal.claims import ClaimTable
    from conformal.drift.monitor import DriftMonitor, Settings
    from conformal.labels import LabelPolicy
    from conformal.losses import Loss


def drift(
    stream: Annotated[Path, typer.Argument(metavar="STREAM", help="Labelled outputs in the order they came (claim ledger).")],
    score: Annotated[str, typer.Option("--score", help="The score that was calibrated.")],
    calibration: Annotated[Path | None, typer.Option("--calibration", help="The outputs that calibrated the threshold.")] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="Go on from this file, and save there (made when absent).")
    ] = None,
    alpha: Annotated[str, typer.Option("--alpha", help="Target error of the threshold.")] = "0.1",
    level: Annotated[str, typer.Option("--level", help="Chance that a false alarm is ever raised.")] = "0.05",
    test: Annotated[list[str] | None, typer.Option("--test", help="ranks (default), errors; both share the level.")] = None,
    bet: Annotated[str, typer.Option("--bet", help="jumper, histogram or mixture: how ranks are bet on.")] = "jumper",
    step: Annotated[str, typer.Option("--step", help="Step of the adaptive level.")] = "0.02",
    seed: Annotated[int, typer.Option("--seed", help="Of the tie-breaks; choose it before the stream is seen.")] = 0,
    at_most_false: Annotated[int, typer.Option("--at-most-false", min=0, help="Kept claims that may be false.")] = 0,
    fraction: Annotated[str | None, typer.Option("--fraction", help="Instead: this fraction of the kept claims is true.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="A claim goes when a premise of it goes.")] = False,
    subjective_false: Annotated[bool, typer.Option("--subjective-false", help="Count label S as false.")] = False,
    unverifiable_true: Annotated[bool, typer.Option("--unverifiable-true", help="Count label U as true.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also write a chart there.")] = None,
    as_json: Json = False,
) -> None:
    """Alarm, or no alarm (which is not: no shift). One output after another; P(false alarm, ever) is at most --level."""
    from conformal.drift.monitor import Settings
    from conformal.labels import LabelPolicy
    from conformal.levels import parse_level
    from conformal.losses import AtMostFalse, FractionTrue
    from conformal.reading import read_claims

    if fraction is not None and at_most_false:
        raise CommandError("give either --fraction or --at-most-false", Exit.USAGE)
    if calibration is None and (state is None or not state.exists()):
        raise CommandError("give --calibration, or a --state that was saved before", Exit.USAGE)
    with clear_errors():
        loss: Loss = FractionTrue.parse(fraction) if fraction is not None else AtMostFalse(at_most_false)
        policy = LabelPolicy(not subjective_false, unverifiable_true)
        told = {"score": _score_name(score), "loss": loss.name, "closed": str(closed), "label_policy": str(policy.to_json())}
        claims, _, noisy = read_claims(stream)  # noise in published annotations breaks ties, as in calibrate
        settings = Settings(
            parse_level(alpha), parse_level(level, "level"), tuple(test or ["ranks"]), bet, parse_level(step, "step"),
            ">=" if noisy else ">", seed, told,
        )  # fmt: skip
        reference = None if calibration is None else _scored(read_claims(calibration)[0], score, loss, policy, closed)
        monitor = _open(settings, reference, state)
        scored = _scored(claims, score, loss, policy, closed)
        skipped = _feed(monitor, scored, claims.ids)
        if svg is not None:
            _draw(monitor, svg)
        if state is not None:
            _save(monitor, state)
    at, names = monitor.alarm_index, {digest: identity for (digest, _), identity in zip(scored, claims.ids)}
    alarm_id = None if at is None else names.get(monitor.fed[at][0], monitor.fed[at][0])
    found = {**monitor.summary(), "alarm_id": alarm_id, "already_fed": skipped, "settings": told}
    emit(found, as_json, _describe(monitor, found))
    raise typer.Exit(Exit.OK if at is None else Exit.REFUTED)


def _describe(monitor: DriftMonitor, found: dict[str, Any]) -> str:
    at, n = monitor.alarm_index, len(monitor.fed)
    head = f"no alarm after {n} outputs" if at is None else f"alarm at output {at + 1} ({found['alarm_id']}) of {n}"
    tests = [
        f"{name}: evidence {_power(test['log_wealth'])}, alarm at {_power(test['alarm_at'])}"
        for name, test in found["tests"].items()
    ]
    level, adaptive = monitor.settings.level, found["adaptive"]
    errors = (
        f"errors at the calibrated threshold {found['threshold']}: {found['errors']} of {n}; at the adaptive one"
        f" {adaptive['errors']}, next threshold {adaptive['next_threshold']}"
    )
    return "\n".join([head, *tests, errors, f"false alarms, ever: at most {level}; {found['note']}"])


def _power(log_wealth: float) -> str:
    return f"{math.exp(log_wealth):.4g}" if abs(log_wealth) < 300 else f"10^{log_wealth / math.log(10):.0f}"


def _score_name(option: str) -> str:
    """A fitted score is named by its content: the file may be another one when the monitor goes on."""
    if not option.startswith(PREFIX):
        return option
    return PREFIX + hashlib.sha256(Path(option.removeprefix(PREFIX)).read_bytes()).hexdigest()


def _scored(claims: ClaimTable, score: str, loss: Loss, policy: LabelPolicy, closed: bool) -> list[tuple[str, float]]:
    """(digest, conformity score) of every output, in its order: the same answer under another id is no fresh one."""
    from conformal.digests import output_digests
    from conformal.losses import close_scores

    table, values = open_score(claims, score)
    values = close_scores(table, values) if closed else values
    return [(i, float(r)) for i, r in zip(output_digests(table), loss.conformity(table, values, table.truth(policy)))]


def _open(settings: Settings, calibration: list[tuple[str, float]] | None, state: Path | None) -> DriftMonitor:
    from conformal.drift.monitor import DriftMonitor
    from conformal.drift.state import MAX_STATE_CHARS, read_state

    if state is None or not state.exists():
        return DriftMonitor(settings, calibration or [])
    if state.stat().st_size > MAX_STATE_CHARS:
        raise CommandError(f"{state} is larger than {MAX_STATE_CHARS} bytes; it is no drift state")
    try:
        found = read_state(state.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise CommandError(f"{state} is no UTF-8 text; it is no drift state") from None
    differing = [name for name, value in settings.__dict__.items() if getattr(found.settings, name) != value]
    if differing:
        raise CommandError(
            f"{state} was begun with other settings ({', '.join(differing)}): a monitor is not changed under way;"
            " give the same options, or begin anew on fresh outputs with another --state"
        )
    if calibration is not None and tuple(calibration) != found.calibration:
        raise CommandError(f"{state} was begun with other calibration outputs; leave --calibration out to go on with them")
    return found


def _feed(monitor: DriftMonitor, stream: list[tuple[str, float]], ids: tuple[str, ...]) -> int:
    """Feed what is new; returns how many had been fed before."""
    known, skipped = dict(monitor.fed), 0
    for (digest, conformity), identity in zip(stream, ids):
        if digest in known and known[digest] != conformity:
            raise CommandError(f"the output {identity!r} was fed before with other labels or scores; the past is not rewritten")
        if digest in known:
            skipped += 1
        elif monitor.has_seen(digest):
            raise CommandError(
                f"the output {identity!r} is a calibration output, or is in the stream twice; only fresh ones count"
            )
        else:
            monitor.feed(digest, conformity)
    if skipped:
        say(f"{skipped} outputs had been fed before; {len(stream) - skipped} are new")
    return skipped


def _draw(monitor: DriftMonitor, path: Path) -> None:
    from conformal.figures import drift_panels
    from conformal.panels import draw

    path.write_text(draw(drift_panels(monitor), "Drift of conformity scores"), encoding="utf-8")


def _save(monitor: DriftMonitor, path: Path) -> None:
    """Beside the file first: a state is whole or the one before."""
    from conformal.drift.state import write_state

    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(write_state(monitor))
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
