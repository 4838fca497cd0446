"""`watermark.distortion`: does the mark change what the model says? Three valid tests of "nothing is changed"."""

from __future__ import annotations

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
from audit.watermark.model_params import (
    ModelParams,
    model_conditions,
    model_needs,
    read_model_evidence,
    read_model_params,
)
from audit.watermark.params import MAX_ALPHA, MIN_ALPHA, demand_runs

if TYPE_CHECKING:
    from watermark.distortion.report import DistortionReport

NAME = "watermark.distortion"
FORMAT = "assay-watermark-distortion/1"
CLAIMS = ("token", "text", "repeat")
ABOUT = {
    "token": "one token under a fresh key",
    "text": "one text under a fresh key",
    "repeat": "several answers to one prompt under one key",
}
MAX_TEXTS, MAX_LENGTH, MAX_RUNS = 1000, 2048, 20_000
LEAST = {"token_prompts": 50, "text_prompts": 12, "repeated_prompts": 4}
MAX_CURVE = 101
NOTHING_FOUND = (
    "where no change was found, none of the size that these samples could show was there; that is no proof of no change"
)


@dataclass(frozen=True)
class DistortionParams:
    """Sizes of the three experiments; 0 leaves one out. `claims` are what the verdict is about."""

    model: ModelParams
    claims: tuple[str, ...]
    token_prompts: int
    text_prompts: int
    repeated_prompts: int
    repeats: int
    length: int
    alpha: float
    runs: int

    @property
    def tier(self) -> Tier:
        """The token test needs the model's whole distribution."""
        return Tier.IN_PROCESS if self.token_prompts else Tier.CONTROLLED

    @property
    def tested(self) -> tuple[str, ...]:
        """What is tested at these sizes."""
        sizes = (self.token_prompts, self.text_prompts, self.repeated_prompts)
        return tuple(claim for claim, size in zip(CLAIMS, sizes) if size)


def read_params(params: Mapping[str, Any]) -> DistortionParams:
    """Read the parameters. Raises RequestError."""
    fields = Fields(params, NAME)
    model = read_model_params(fields)
    found = DistortionParams(
        model=model,
        claims=fields.words("claims", CLAIMS, CLAIMS),
        token_prompts=_size(fields, "token_prompts", 500, 10_000),
        text_prompts=_size(fields, "text_prompts", 48, MAX_TEXTS),
        repeated_prompts=_size(fields, "repeated_prompts", 8, MAX_TEXTS),
        repeats=fields.integer("repeats", 6, 2, 64),
        length=fields.integer("length", 64, 8, MAX_LENGTH),
        alpha=fields.number("alpha", 0.01, MIN_ALPHA, MAX_ALPHA),
        runs=fields.integer("runs", 1999, 99, MAX_RUNS),
    )
    fields.done()
    missing = [claim for claim in found.claims if claim not in found.tested]
    if missing:
        raise RequestError(f"params.claims names {missing[0]!r}, for which no samples are asked for")
    demand_runs(found.runs, found.alpha, len(found.tested))
    if model.temperature == 0:
        raise RequestError("params.temperature must be above 0: a model that always says the same has nothing to distort")
    if found.repeated_prompts * found.repeats > 10_000:
        raise RequestError("params.repeated_prompts times params.repeats must be at most 10000")
    return found


def _size(fields: Fields, name: str, default: int, most: int) -> int:
    """A number of samples: none, or enough for the test to be able to find something."""
    value = fields.integer(name, default, 0, most)
    if 0 < value < LEAST[name]:
        raise RequestError(f"params.{name} must be 0 or at least {LEAST[name]}: fewer samples cannot show a change")
    return value


def check_distortion(params: DistortionParams, content: Mapping[str, Any], conditions: Sequence[str]) -> Outcome:
    """Repeat the tests on the samples in `content` and judge the claims: pure. Raises EvidenceError for what does not add up."""
    from watermark.distortion.report import DistortionReport
    from watermark.errors import AttackError

    try:
        report = DistortionReport.from_json(content.get("report"))
    except AttackError as error:
        raise EvidenceError(str(error)) from None
    _check_sizes(params, report)
    claims = []
    for number, claim in enumerate(params.claims, start=3):
        p, refuted = report.adjusted[claim], claim in report.refuted
        word = "a change was found" if refuted else "no change was found"
        claims.append(Check(f"{number} {claim}", not refuted, f"{ABOUT[claim]}: {word}, adjusted p = {p:.3g}"))
    checks = (
        Check("1 binding", True, f"samples of the mark of the key {params.model.key[:16]}, made for this request"),
        Check("2 recount", True, f"{len(report.p_values)} p-values follow from their samples"),
        *claims,
    )
    verdict: Verdict = "holds" if all(check.ok for check in checks) else "refuted"
    return Outcome(verdict, checks, _outputs(params, report), (*conditions, NOTHING_FOUND))


def _check_sizes(params: DistortionParams, report: DistortionReport) -> None:
    samples = report.samples
    sizes = (len(samples.transform), len(samples.pairs), len(samples.answers))
    asked = (params.token_prompts, params.text_prompts, params.repeated_prompts)
    repeats = {len(texts) for answer in samples.answers for texts in answer}
    if sizes != asked or not repeats <= {params.repeats} or samples.limit != params.length:
        raise EvidenceError("the samples have other sizes than the request asks for")
    if (report.alpha, report.runs) != (params.alpha, params.runs):
        raise EvidenceError("the tests were run with other settings than the request asks for")


def _outputs(params: DistortionParams, report: DistortionReport) -> dict[str, Any]:
    return {
        "alpha": params.alpha,
        "p_values": {claim: float(f"{p:.6g}") for claim, p in report.p_values.items()},
        "adjusted": {claim: float(f"{p:.6g}") for claim, p in report.adjusted.items()},
        "changed": list(report.refuted),
        "effects": {name: float(f"{value:.6g}") for name, value in report.effects.items()},
        "figure": _panels(report),
    }


def _panels(report: DistortionReport) -> list[dict[str, Any]]:
    """The cumulative share of u against the diagonal, thinned to a drawable number of points."""
    values = sorted(report.samples.transform)
    if not values:
        return []
    grid = [step / (MAX_CURVE - 1) for step in range(MAX_CURVE)]
    share = [[x, float(f"{sum(value <= x for value in values) / len(values):.4f}")] for x in grid]
    lines = [{"label": "tokens of the mark", "points": share}, {"label": "no change", "points": [[0.0, 0.0], [1.0, 1.0]]}]
    return [
        {
            "title": "One token under a fresh key", "x": "rank in probability", "y": "share of tokens",
            "x_range": [0.0, 1.0], "y_range": [0.0, 1.0], "marks": [], "lines": lines,
        }
    ]  # fmt: skip


class WatermarkDistortion(ServiceRun):
    """The registered kind."""

    name = NAME
    title = "A watermark leaves the model's distribution as it is: tokens, texts, repeated prompts"

    def parse_params(self, params: Mapping[str, Any]) -> DistortionParams:
        return read_params(params)

    def needs(self, params: Mapping[str, Any]) -> Needs:
        found = read_params(params)
        return model_needs(found.model, found.tier)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        from audit.watermark.experiments.distortion import run_distortion_audit

        params = read_params(request.params)
        context = RunContext(request.sha256, resources.entropy, progress, cancelled, resources.keep)
        return run_distortion_audit(
            params, resources.open_key(params.model.key), resources.open_model(params.model.model), context
        )

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        params = read_params(request.params)
        registered, content = read_model_evidence(params.model, params.tier, FORMAT, request, evidence, context)
        return check_distortion(params, content, model_conditions(params.model, registered, int(params.tier)))
