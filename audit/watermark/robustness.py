"""`watermark.robustness`: how many edits a mark survives, at which text length, and whether clean texts raise alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress, Verdict
from audit.requests import AuditRequest
from audit.runners.protocol import Tier
from audit.service_kinds import Needs, Resources
from audit.service_run import ServiceRun
from audit.watermark.context import RunContext
from audit.watermark.intervals import judge_share
from audit.watermark.model_params import (
    ModelParams,
    model_conditions,
    model_needs,
    open_tokenizer,
    read_model_evidence,
    read_model_params,
)
from audit.watermark.params import MAX_ALPHA, MAX_RUNS, MIN_ALPHA, demand_runs

if TYPE_CHECKING:
    from watermark.robustness.report import Cell, RobustnessReport

NAME = "watermark.robustness"
FORMAT = "assay-watermark-robustness/1"
# The attacks of `watermark.attacks.registry` that need no second model.
ATTACKS = (
    "substitution", "insertion", "deletion", "swap", "truncation", "copy-paste", "copy-paste-3",
    "homoglyphs", "zero-width", "white-space", "synonyms",
)  # fmt: skip
UNEDITED = "none"
EMBED = ("runner", "model")
MAX_TEXTS, MAX_LENGTH = 2000, 4096
MAX_WRITTEN = 2_000_000
MAX_CLAIMS = 32
FALSE_ALARM_LEVEL = 0.01


@dataclass(frozen=True)
class Claim:
    """That at least the share `power` of texts of `length` tokens is detected after `attack` at `rate`."""

    attack: str
    rate: float
    length: int
    power: float


@dataclass(frozen=True)
class RobustnessParams:
    """`embed`: the mark is put in by the runner, or the model behind the endpoint marks its text itself."""

    model: ModelParams
    embed: str
    texts: int
    clean: int
    lengths: tuple[int, ...]
    attacks: tuple[str, ...]
    rates: tuple[float, ...]
    alpha: float
    runs: int
    claims: tuple[Claim, ...]

    @property
    def tier(self) -> Tier:
        """What the model must offer."""
        return Tier.CONTROLLED if self.embed == "runner" else Tier.CHAT


def read_params(params: Mapping[str, Any]) -> RobustnessParams:
    """Read the parameters. Raises RequestError."""
    fields = Fields(params, NAME)
    lengths = fields.integers("lengths", (200,), 16, MAX_LENGTH, 8)
    attacks = fields.words("attacks", ("substitution", "deletion", "insertion"), ATTACKS)
    rates = fields.numbers("rates", (0.1, 0.2, 0.3, 0.4, 0.6), 1e-3, 1.0, 16)
    texts = fields.integer("texts", 40, 5, MAX_TEXTS)
    clean = fields.integer("clean", texts, 0, MAX_TEXTS)
    if (texts + clean) * max(lengths) > MAX_WRITTEN:
        raise RequestError(f"texts of {max(lengths)} tokens: marked and clean ones together have at most {MAX_WRITTEN} tokens")
    found = RobustnessParams(
        model=read_model_params(fields),
        embed=fields.choice("embed", "runner", EMBED),
        texts=texts,
        clean=clean,
        lengths=tuple(sorted(lengths)),
        attacks=attacks,
        rates=tuple(sorted(rates)),
        alpha=fields.number("alpha", 0.01, MIN_ALPHA, MAX_ALPHA),
        runs=fields.integer("runs", 199, 19, MAX_RUNS),
        claims=_read_claims(fields.take("claims"), attacks, rates, lengths),
    )
    fields.done()
    demand_runs(found.runs, found.alpha)
    return found


def _read_claims(value: Any, attacks: Sequence[str], rates: Sequence[float], lengths: Sequence[int]) -> tuple[Claim, ...]:
    """The claims; by default that 8 of 10 unedited texts of the greatest length are detected."""
    if value is None:
        return (Claim(UNEDITED, 0.0, max(lengths), 0.8),)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CLAIMS:
        raise RequestError(f"params.claims must be a list of 1 to {MAX_CLAIMS} claims")
    found = []
    for index, item in enumerate(value):
        at = f"params.claims[{index}]"
        if not isinstance(item, Mapping) or set(item) != {"attack", "rate", "length", "power"}:
            raise RequestError(f"{at} must have exactly attack, rate, length and power")
        power, known = item["power"], item["attack"] in attacks and item["rate"] in rates
        if not (known or (item["attack"], item["rate"]) == (UNEDITED, 0)) or item["length"] not in lengths:
            raise RequestError(f"{at} is about an attack, rate or length that is not measured ({UNEDITED!r} at rate 0: no edit)")
        if type(power) not in (int, float) or not 0 < power < 1:
            raise RequestError(f"{at}.power must lie between 0 and 1")
        found.append(Claim(item["attack"], float(item["rate"]), int(item["length"]), float(power)))
    return tuple(found)


def check_robustness(params: RobustnessParams, content: Mapping[str, Any], conditions: Sequence[str]) -> Outcome:
    """Recount the report in `content` and judge the claims: pure. Raises EvidenceError for what does not add up."""
    from watermark.errors import AttackError
    from watermark.robustness.report import RobustnessReport

    try:
        report = RobustnessReport.from_json(content.get("report"))
    except AttackError as error:
        raise EvidenceError(str(error)) from None
    _check_settings(params, report)
    claims = [_judge_claim(number, claim, report, len(params.claims)) for number, claim in enumerate(params.claims, start=3)]
    checks = (
        Check("1 binding", True, f"{report.settings['marked_texts']} marked texts under the key {params.model.key[:16]}"),
        Check("2 recount", True, f"{len(report.cells)} cells follow from their p-values"),
        *claims,
        _judge_alarms(3 + len(claims), report, params),
    )
    verdict: Verdict = "inconclusive"
    if any(check.ok is False for check in checks):
        verdict = "refuted"
    elif all(check.ok for check in checks):
        verdict = "holds"
    return Outcome(verdict, checks, _outputs(params, report), tuple(conditions))


def _check_settings(params: RobustnessParams, report: RobustnessReport) -> None:
    stated = {name: report.settings.get(name) for name in ("attacks", "rates", "lengths", "runs", "marked_texts", "clean_texts")}
    asked = {
        "attacks": list(params.attacks), "rates": list(params.rates), "lengths": list(params.lengths), "runs": params.runs,
        "marked_texts": params.texts, "clean_texts": params.clean,
    }  # fmt: skip
    if report.alpha != params.alpha or stated != asked:
        raise EvidenceError("the experiment was run with other settings than the request asks for")
    cells = {(cell.attack, cell.rate, cell.length) for cell in report.cells}
    wanted = {(UNEDITED, 0.0, length) for length in params.lengths}
    wanted |= {(attack, rate, length) for attack in params.attacks for rate in params.rates for length in params.lengths}
    if cells != wanted or {cell.length for cell in report.false_alarms} != (set(params.lengths) if params.clean else set()):
        raise EvidenceError("the experiment lacks cells, or has more than were asked for")
    for shown, most in ((report.cells, params.texts), (report.false_alarms, params.clean)):
        if any(len(cell.log10_p) > most for cell in shown):
            raise EvidenceError("a cell has more texts than were written")


def _judge_claim(number: int, claim: Claim, report: RobustnessReport, together: int) -> Check:
    cell = next(c for c in report.cells if (c.attack, c.rate, c.length) == (claim.attack, claim.rate, claim.length))
    judged = judge_share(cell.detected, len(cell.log10_p), claim.power, together)
    ok = True if judged.above else False if judged.below else None
    how = "unedited" if claim.attack == UNEDITED else f"{claim.attack} at {claim.rate:g}"
    found = f"{cell.detected} of {len(cell.log10_p)} detected, interval {judged.shown}"
    return Check(f"{number} power", ok, f"{how}, {claim.length} tokens: {found}, claimed {claim.power:g}")


def _judge_alarms(number: int, report: RobustnessReport, params: RobustnessParams) -> Check:
    """Clean texts must not be called marked more often than alpha allows, by a binomial test over all lengths' worst."""
    if not report.false_alarms:
        return Check(f"{number} alarms", None, "no clean texts were tested")
    from watermark.nulls.binomial import log_tail

    worst = min(
        log_tail(cell.detected, len(cell.log10_p), params.alpha) + math.log(len(report.false_alarms))
        for cell in report.false_alarms
    )
    counts = ", ".join(f"{cell.detected} of {len(cell.log10_p)} at {cell.length} tokens" for cell in report.false_alarms)
    ok = worst > math.log(FALSE_ALARM_LEVEL)
    return Check(f"{number} alarms", ok, f"clean texts called marked: {counts}, nominal {params.alpha:g}")


def _outputs(params: RobustnessParams, report: RobustnessReport) -> dict[str, Any]:
    def show(cell: Cell) -> dict[str, Any]:
        return {
            "attack": cell.attack,
            "rate": cell.rate,
            "length": cell.length,
            "detected": cell.detected,
            "texts": len(cell.log10_p),
            "interval": [float(f"{bound:.4f}") for bound in cell.interval],
        }

    return {
        "scheme": report.scheme,
        "dialect": report.dialect,
        "alpha": params.alpha,
        "cells": [show(cell) for cell in report.cells],
        "false_alarms": [show(cell) for cell in report.false_alarms],
        "figure": [_panel(params, report, attack) for attack in params.attacks],
    }


def _panel(params: RobustnessParams, report: RobustnessReport, attack: str) -> dict[str, Any]:
    lines = []
    for length in params.lengths:
        curve = report.curve(attack, length)
        points = [[cell.rate, *(float(f"{value:.4f}") for value in (cell.power, *cell.interval))] for cell in curve]
        lines.append({"label": f"{length} tokens", "points": points})
    return {
        "title": f"{attack}: power at p <= {params.alpha:g}",
        "x": "edit rate",
        "y": "power",
        "x_range": [0.0, max(0.2, *params.rates)],
        "y_range": [0.0, 1.0],
        "marks": [0.5, params.alpha],
        "lines": lines,
    }


class WatermarkRobustness(ServiceRun):
    """The registered kind."""

    name = NAME
    title = "Power of a watermark's detector against edits and length, with intervals"

    def parse_params(self, params: Mapping[str, Any]) -> RobustnessParams:
        return read_params(params)

    def needs(self, params: Mapping[str, Any]) -> Needs:
        found = read_params(params)
        return model_needs(found.model, found.tier)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        from audit.watermark.experiments.robustness import run_robustness

        params = read_params(request.params)
        context = RunContext(request.sha256, resources.entropy, progress, cancelled, resources.keep)
        key, runner = resources.open_key(params.model.key), resources.open_model(params.model.model)
        return run_robustness(params, key, runner, context, open_tokenizer(params.model, resources))

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        params = read_params(request.params)
        registered, content = read_model_evidence(params.model, params.tier, FORMAT, request, evidence, context)
        return check_robustness(params, content, model_conditions(params.model, registered, int(params.tier)))
