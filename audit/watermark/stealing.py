"""`watermark.stealing`: what an attacker learns of a green list from marked texts, and what scrubbing and spoofing come of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    read_model_evidence,
    read_model_params,
)
from audit.watermark.params import MAX_ALPHA, MAX_RUNS, MIN_ALPHA, demand_runs

if TYPE_CHECKING:
    from watermark.attacks.stealing.report import Share, StealingReport, Trial

NAME = "watermark.stealing"
FORMAT = "assay-watermark-stealing/1"
TIER = Tier.IN_PROCESS
# The attacks of `watermark.attacks.stealing.registry`.
ATTACKS = ("mip-vanilla", "mip-oracle", "mip-pro", "mip-as2", "counts-2", "counts-3", "n-grams")
MAX_BUDGET, MAX_JUDGED, MAX_LENGTH = 20_000, 500, 1024
MAX_WRITTEN = 8_000_000
BEST_KNOWN = "other attacks, or more texts, may steal more: what is stated is what these attacks achieved"


@dataclass(frozen=True)
class StealingParams:
    """The claim is that with no attack and budget more than the share `max_spoof` of forged texts is taken for marked, and, where
    `max_scrub` is given, that no more than that share of marked texts loses its mark."""

    model: ModelParams
    attacks: tuple[str, ...]
    budgets: tuple[int, ...]
    judged: int
    length: int
    contexts: int
    time_limit: float
    alpha: float
    runs: int
    max_spoof: float
    max_scrub: float | None


def read_params(params: Mapping[str, Any]) -> StealingParams:
    """Read the parameters. Raises RequestError."""
    fields = Fields(params, NAME)
    scrub = fields.take("max_scrub")
    if scrub is not None and (type(scrub) not in (int, float) or not 0 <= scrub <= 1):
        raise RequestError("params.max_scrub must be a number from 0 to 1, or absent")
    found = StealingParams(
        model=read_model_params(fields),
        attacks=fields.words("attacks", ("counts-2", "counts-3", "n-grams"), ATTACKS),
        budgets=tuple(sorted(fields.integers("budgets", (100, 300), 1, MAX_BUDGET, 8))),
        judged=fields.integer("judged", 60, 5, MAX_JUDGED),
        length=fields.integer("length", 100, 16, MAX_LENGTH),
        contexts=fields.integer("contexts", 100, 1, 1000),
        time_limit=fields.number("time_limit", 60.0, 1.0, 3600.0),
        alpha=fields.number("alpha", 0.001, MIN_ALPHA, MAX_ALPHA),
        runs=fields.integer("runs", 999, 19, MAX_RUNS),
        max_spoof=fields.number("max_spoof", 0.1, 0.0, 1.0),
        max_scrub=None if scrub is None else float(scrub),
    )
    fields.done()
    demand_runs(found.runs, found.alpha)
    if 2 * (max(found.budgets) + found.judged) * found.length > MAX_WRITTEN:
        raise RequestError(f"budget, judged texts and length together come to more than {MAX_WRITTEN} tokens; ask for less")
    return found


def check_stealing(params: StealingParams, content: Mapping[str, Any], conditions: Sequence[str]) -> Outcome:
    """Recount the report in `content` and judge the claim: pure. Raises EvidenceError for what does not add up."""
    from watermark.attacks.stealing.report import StealingReport
    from watermark.errors import AttackError

    try:
        report = StealingReport.from_json(content.get("report"))
    except AttackError as error:
        raise EvidenceError(str(error)) from None
    if isinstance(content.get("report"), dict) and content["report"].get("private") is not False:
        raise EvidenceError("the report shows what was stolen, which is as secret as the key")
    _check_settings(params, report)
    limits = [_judge("3 spoofing", report, lambda trial: trial.spoof(report.alpha), params.max_spoof)]
    if params.max_scrub is not None:
        limits.append(_judge("4 scrubbing", report, lambda trial: trial.scrub(report.held_out, report.alpha), params.max_scrub))
    checks = (
        Check("1 binding", True, f"{len(report.trials)} trials against the key {params.model.key[:16]}, made for this request"),
        Check("2 recount", True, "every share follows from its counts and p-values"),
        *limits,
    )
    verdict: Verdict = "inconclusive"
    if any(check.ok is False for check in checks):
        verdict = "refuted"
    elif all(check.ok for check in checks):
        verdict = "holds"
    return Outcome(verdict, checks, _outputs(report), (*conditions, BEST_KNOWN))


def _check_settings(params: StealingParams, report: StealingReport) -> None:
    asked = {
        "attacks": list(params.attacks),
        "budgets": list(params.budgets),
        "judged": params.judged,
        "contexts": params.contexts,
    }
    if report.alpha != params.alpha or {name: report.settings.get(name) for name in asked} != asked:
        raise EvidenceError("the attacks were run with other settings than the request asks for")
    trials = sorted((trial.attack, trial.budget) for trial in report.trials)
    if trials != sorted((attack, budget) for attack in params.attacks for budget in params.budgets):
        raise EvidenceError("there must be one trial for each attack and budget")
    if len(report.held_out) != params.judged or len(report.unforged) != params.judged:
        raise EvidenceError("the report judges another number of texts than the request asks for")
    for trial in report.trials:
        done = trial.failed is None
        if done and (len(trial.spoofed) != params.judged or len(trial.scrubbed) != params.judged):
            raise EvidenceError(f"{trial.attack} at {trial.budget} texts was not judged on every text")


def _judge(name: str, report: StealingReport, share: Callable[[Trial], Share], most: float) -> Check:
    """False where some trial surely goes beyond `most`, True where surely none does, None otherwise."""
    beyond, known, worst = False, True, (-1.0, "nothing was tried")
    for trial in report.trials:
        found = share(trial)
        if trial.failed is not None or found.rate is None:
            known = False
            continue
        judged = judge_share(found.hits, found.trials, most, len(report.trials))
        beyond, known = beyond or judged.above, known and (judged.below or most == 1)
        text = f"{trial.attack} with {trial.budget} texts: {found.hits} of {found.trials}, interval {judged.shown}"
        worst = max(worst, (found.rate, text))
    ok = False if beyond else True if known else None
    return Check(name, ok, f"at worst {worst[1]}, claimed at most {most:g}")


def _outputs(report: StealingReport) -> dict[str, Any]:
    return {
        "scheme": report.scheme,
        "dialect": report.dialect,
        "alpha": report.alpha,
        "green_share": float(f"{report.green_share:.6g}"),
        "trials": [_show(trial, report) for trial in report.trials],
        "figure": _panels(report),
    }


def _show(trial: Trial, report: StealingReport) -> dict[str, Any]:
    shares = {
        "precision": trial.precision,
        "spoof": trial.spoof(report.alpha),
        "scrub": trial.scrub(report.held_out, report.alpha),
    }
    shares["scrub_control"] = trial.scrub_control(report.held_out, report.alpha)
    shown = {name: None if share.rate is None else float(f"{share.rate:.4f}") for name, share in shares.items()}
    return {"attack": trial.attack, "budget": trial.budget, "called": trial.called, "failed": trial.failed, **shown}


def _panels(report: StealingReport) -> list[dict[str, Any]]:
    """Precision, spoofing and scrubbing against the number of texts (decimal logarithm), one line an attack."""
    logs = [math.log10(trial.budget) for trial in report.trials]
    x_range = [min(logs) - 0.1, max(logs) + 0.1]
    wanted: tuple[tuple[str, Callable[[Trial], Share]], ...] = (
        ("Precision of what is called green", lambda trial: trial.precision),
        ("Spoofing: forged texts taken for marked", lambda trial: trial.spoof(report.alpha)),
        ("Scrubbing: marks removed", lambda trial: trial.scrub(report.held_out, report.alpha)),
    )
    return [
        {
            "title": title, "x": "log10 of marked texts seen", "y": "share", "x_range": [_short(x) for x in x_range],
            "y_range": [0.0, 1.0], "marks": [_short(report.green_share)] if title.startswith("Precision") else [],
            "lines": _lines(report, share),
        }
        for title, share in wanted
    ]  # fmt: skip


def _lines(report: StealingReport, share: Callable[[Trial], Share]) -> list[dict[str, Any]]:
    lines = []
    for attack in report.attacks:
        points = []
        for trial in report.curve(attack):
            found = share(trial)
            if found.rate is not None and found.interval is not None:
                points.append([_short(math.log10(trial.budget)), *map(_short, (found.rate, *found.interval))])
        if points:
            lines.append({"label": attack, "points": points})
    return lines


def _short(value: float) -> float:
    return float(f"{value:.4f}")


class WatermarkStealing(ServiceRun):
    """The registered kind."""

    name = NAME
    title = "A watermark's green list stays secret: stealing, spoofing and scrubbing against query budget"

    def parse_params(self, params: Mapping[str, Any]) -> StealingParams:
        return read_params(params)

    def needs(self, params: Mapping[str, Any]) -> Needs:
        return model_needs(read_params(params).model, TIER)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        from audit.watermark.experiments.stealing import run_stealing_audit

        params = read_params(request.params)
        context = RunContext(request.sha256, resources.entropy, progress, cancelled, resources.keep)
        return run_stealing_audit(params, resources.open_key(params.model.key), resources.open_model(params.model.model), context)

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        params = read_params(request.params)
        registered, content = read_model_evidence(params.model, TIER, FORMAT, request, evidence, context)
        return check_stealing(params, content, model_conditions(params.model, registered, int(TIER)))
