"""`privacy.dp_bound`: a lower bound on the epsilon of a training run, from scores of canaries that went in or out by fair coins.

The service draws the seed of splits and ties, by its signature over the request: whoever chose it could try seeds until the bound
is high. The evidence tells it, and whoever reads it computes the bound again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.params import Fields, derive_seed
from audit.recomputed import RESULT_FILE, Recomputed
from audit.registry import Cancelled, Check, Outcome, Progress, Verdict
from audit.requests import AuditRequest
from audit.service_kinds import Resources
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from privacy.dp_bounds.canaries import Canaries
    from privacy.dp_bounds.cut_offs import Search

NAME = "privacy.dp_bound"
METHODS = ("grid", "split", "splits", "fixed", "many-sample")
MAX_CANARIES = 50_000
MAX_EPSILON = 1000.0
_CONDITIONS = (
    "scores and coins are those of the request: the service neither trained nor scored anything",
    "every coin was fair, and independent of the others and of all else; the scores were made without knowing the coins",
    "the best of several bounds over the same canaries is no bound at this level; this one is counted alone",
)
_OF_METHOD = {
    "fixed": "the cut-offs were fixed before the scores were seen",
    "many-sample": "every score comes from a training run of its own",
}


@dataclass(frozen=True)
class DpBoundParams:
    """`at_most`: the claim that epsilon is not above it; `at_least`: that training leaks so much. At most one of them."""

    canaries: Canaries
    method: str
    k_minus: int
    k_plus: int
    alpha: float
    delta: float
    at_most: float | None
    at_least: float | None
    seed: int = 0


def read_params(params: Mapping[str, Any]) -> DpBoundParams:
    """Read the parameters. Raises RequestError, PrivacyError."""
    fields = Fields(params, NAME)
    canaries = _read_canaries(fields.take("documents"))
    method = fields.choice("method", "grid", METHODS)
    cut_offs = [fields.integer(name, 0, 0, canaries.m) for name in ("k_minus", "k_plus")]
    if (method == "fixed") != (sum(cut_offs) > 0):
        raise RequestError("params.k_minus and params.k_plus go with the method fixed, which needs at least one of them")
    at_most, at_least = (_optional(fields, name) for name in ("at_most", "at_least"))
    if at_most is not None and at_least is not None:
        raise RequestError("params.at_most and params.at_least are two claims; ask for one of them")
    found = DpBoundParams(
        canaries=canaries,
        method=method,
        k_minus=cut_offs[0],
        k_plus=cut_offs[1],
        alpha=fields.number("alpha", 0.05, 1e-9, 0.5),
        delta=fields.number("delta", 0.0, 0.0, 0.999),
        at_most=at_most,
        at_least=at_least,
    )
    fields.done()
    return found


def _optional(fields: Fields, name: str) -> float | None:
    value = fields.take(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= MAX_EPSILON:
        raise RequestError(f"params.{name} must be a number from 0 to {MAX_EPSILON:g}")
    return float(value)


def _read_canaries(value: Any) -> Canaries:
    import numpy as np

    from privacy.dp_bounds.canaries import Canaries

    if not isinstance(value, list) or not 0 < len(value) <= MAX_CANARIES:
        raise RequestError(f"params.documents must be a list of 1 to {MAX_CANARIES} canaries")
    for index, one in enumerate(value):
        if not isinstance(one, Mapping) or set(one) != {"score", "included"} or not isinstance(one["included"], bool):
            raise RequestError(f"params.documents[{index}] must be a canary: score, and included (true or false)")
        if type(one["score"]) not in (int, float):
            raise RequestError(f"params.documents[{index}].score must be a number")
    return Canaries.build([float(one["score"]) for one in value], np.array([one["included"] for one in value], dtype=np.bool_))


def compute_bound(asked: DpBoundParams) -> dict[str, Any]:
    """The bound and what it rests on, in JSON values. Raises PrivacyError."""
    from privacy.dp_bounds.cut_offs import bound_by_grid, bound_by_split, bound_by_splits
    from privacy.dp_bounds.many_sample import bound_many_sample
    from privacy.dp_bounds.one_run import CutOffs, bound_one_run

    canaries, alpha, delta = asked.canaries, asked.alpha, asked.delta
    common = {"seed": asked.seed, "canaries": canaries.m, "included": int(canaries.included.sum())}
    if asked.method == "many-sample":
        many = bound_many_sample(canaries, alpha, delta)
        return {**common, "epsilon_lower": many.epsilon, "direction": many.direction}
    if asked.method == "fixed":
        run, searched = bound_one_run(canaries, CutOffs(asked.k_minus, asked.k_plus), alpha, delta, asked.seed), 1
        epsilon = run.epsilon
    else:
        bounds: dict[str, Callable[..., Search]] = {"grid": bound_by_grid, "split": bound_by_split, "splits": bound_by_splits}
        found = bounds[asked.method](canaries, alpha, delta, seed=asked.seed)
        run, searched, epsilon = found.best, found.searched, found.epsilon
    guesses = {"guesses": run.guesses, "correct": run.correct, "k_minus": run.cut_offs.k_minus, "k_plus": run.cut_offs.k_plus}
    return {**common, "epsilon_lower": epsilon, **guesses, "searched": searched}


class PrivacyDpBound(Recomputed):
    """The registered kind."""

    name = NAME
    title = "How much a training run leaks at least: a lower bound on epsilon from canaries, valid over all cut-offs"
    format = "assay-privacy-dp-bound/1"
    refusal = PrivacyError

    def read(self, params: Mapping[str, Any]) -> DpBoundParams:
        return read_params(params)

    def compute(self, asked: DpBoundParams) -> dict[str, Any]:
        return compute_bound(asked)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        progress(0.0, "computing the bound")
        asked = replace(self.parse_params(request.params), seed=derive_seed(resources.entropy, "dp-bound"))
        content = {"format": self.format, "request": request.sha256, "result": self._guarded(lambda: self.compute(asked))}
        return {RESULT_FILE: canonical_bytes(content)}

    def recompute(self, asked: DpBoundParams, found: Any) -> dict[str, Any]:
        seed = found.get("seed") if isinstance(found, Mapping) else None
        if type(seed) is not int or not 0 <= seed < 1 << 53:
            raise EvidenceError("the result names no seed")
        return self.compute(replace(asked, seed=seed))

    def judge(self, asked: DpBoundParams, result: Mapping[str, Any]) -> Outcome:
        epsilon = float(result["epsilon_lower"])
        claim, verdict = _judge_claim(asked, epsilon)
        checks = (
            Check("1 canaries", True, f"{asked.canaries.m} canaries, {result['included']} of them in"),
            Check("2 recount", True, f"epsilon >= {epsilon:.4g} at delta {asked.delta:g} follows from them"),
            claim,
        )
        wrong = f"the bound is above the true epsilon with a chance of at most {asked.alpha:g}"
        conditions = (*_CONDITIONS, *filter(None, [_OF_METHOD.get(asked.method)]), wrong)
        outputs = {**result, "method": asked.method, "alpha": asked.alpha, "delta": asked.delta}
        return Outcome(verdict, checks, {**outputs, "at_most": asked.at_most, "at_least": asked.at_least}, conditions)


def _judge_claim(asked: DpBoundParams, epsilon: float) -> tuple[Check, Verdict]:
    if asked.at_most is not None:
        over = epsilon > asked.at_most
        detail = f"claimed epsilon <= {asked.at_most:g}: " + ("not so" if over else "not refuted, which does not confirm it")
        return Check("3 claim", False if over else None, detail), "refuted" if over else "inconclusive"
    if asked.at_least is not None:
        shown = epsilon >= asked.at_least
        detail = f"claimed epsilon >= {asked.at_least:g}: " + ("so" if shown else "not shown, which does not refute it")
        return Check("3 claim", True if shown else None, detail), "holds" if shown else "inconclusive"
    return Check("3 claim", None, "nothing was claimed"), "inconclusive"
