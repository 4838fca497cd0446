"""Did a canary demonstration take part in engineering a prompt? Scores as in LiRA (Carlini et al., arXiv 2112.03570, section
IV), and from them a lower bound on the epsilon that the engineering (DP-OPT, arXiv 2312.03724) really had.

In each run every canary goes in or out by a fair coin. Runs whose coins are used to model the scores ("reference runs") are
others than those that are guessed ("audited runs"): given the first, the second are fresh. Each audited run being (eps,
delta)-DP, a coin touches one run only, so that all (run, canary) pairs together are the canaries of one audit (parallel
composition).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.dp_bounds.canaries import MAX_CANARIES, Canaries
from privacy.dp_bounds.cut_offs import bound_by_grid, default_grid
from privacy.dp_bounds.one_run import CutOffs, OneRun, bound_one_run, check_delta, compute_p_value, epsilon_lower
from privacy.errors import BoundaryError, PlanError, ProbeCancelledError, ScoreError
from privacy.probes.model import Cancelled, ProbedModel, Progress
from privacy.probes.prompt_leak import MAX_TEXT, Demonstration
from privacy.probes.published import is_same
from privacy.statistics.binomial import check_level
from privacy.statistics.scores import Floats, as_scores

MAX_RUNS = 10_000
SEPARATOR = "\n\n"
_LEAST_SPREAD = 1e-3
Coins = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PromptRuns:
    """Engineered prompts and, for each, which canaries were among its demonstrations (runs x canaries)."""

    prompts: tuple[str, ...] = field(repr=False)
    included: Coins = field(repr=False)

    def check(self, canaries: int) -> None:
        """Raises PlanError."""
        if not 1 <= len(self.prompts) <= MAX_RUNS or self.included.shape != (len(self.prompts), canaries):
            raise PlanError(f"1 to {MAX_RUNS} runs are audited, each with one coin for each of the canaries")
        if self.included.dtype != np.bool_ or any(not text.strip() or len(text) > MAX_TEXT for text in self.prompts):
            raise PlanError(f"coins are truth values; a prompt has 1 to {MAX_TEXT} characters")


@dataclass(frozen=True)
class MembershipPlan:
    """The claim (epsilon, delta) and the test of it. `cut_offs`: fixed before any score is seen; None: the best of a fixed grid,
    which is paid for (alpha / G each). `seed` breaks ties. Raises PlanError."""

    claimed: float
    delta: float = 0.0
    alpha: float = 0.05
    cut_offs: CutOffs | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.claimed < math.inf:
            raise PlanError("the claimed epsilon is a number of at least 0")
        check_level(self.alpha, "alpha")
        check_delta(self.delta)

    def searched(self, canaries: int) -> int:
        """How many pairs of cut-offs share the level."""
        return 1 if self.cut_offs is not None else len(default_grid(canaries))


@dataclass(frozen=True)
class PromptMembership:
    """`run`: the guesses at the best of `searched` pairs of cut-offs, each at level alpha / searched. Public.

    `p_claim`: how likely so many right guesses are, at most, if the claim holds (times `searched`). `refuted`: the lower bound
    exceeds the claim. What is not refuted is not shown to be private.
    """

    plan: MembershipPlan
    run: OneRun
    searched: int
    runs: int
    reference_runs: int

    @property
    def epsilon(self) -> float:
        """The engineering's epsilon is at least this, with confidence 1 - alpha."""
        return self.run.epsilon

    @property
    def p_claim(self) -> float:
        run = self.run
        return min(1.0, self.searched * compute_p_value(run.canaries, run.guesses, run.correct, self.plan.claimed, run.delta))

    @property
    def refuted(self) -> bool:
        return self.epsilon > self.plan.claimed

    def to_json(self) -> dict[str, Any]:
        cut_offs = self.run.cut_offs
        return {
            "epsilon_lower": self.epsilon,
            "alpha": self.plan.alpha,
            "delta": self.plan.delta,
            "claimed": self.plan.claimed,
            "p_claim": self.p_claim,
            "verdict": "refuted" if self.refuted else "not refuted",
            "canaries": self.run.canaries,
            "guesses": self.run.guesses,
            "correct": self.run.correct,
            "cut_offs": [cut_offs.k_minus, cut_offs.k_plus],
            "searched": self.searched,
            "runs": self.runs,
            "reference_runs": self.reference_runs,
        }


def score_canaries(
    model: ProbedModel,
    prompts: Sequence[str],
    canaries: Sequence[Demonstration],
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Floats:
    """log p(canary | prompt) in nats (prompts x canaries). Needs full log-probabilities.

    Prompt and canary are tokenised as one text; the boundary moves left to the last token that all canaries of a prompt leave as
    it is. Raises PlanError, BoundaryError, ModelAccessError, ProbeCancelledError.
    """  # fmt: skip
    if not canaries or not prompts:
        raise PlanError("at least one prompt and one canary are needed")
    rows: list[list[float]] = []
    for done, prompt in enumerate(prompts):
        if cancelled is not None and cancelled():
            raise ProbeCancelledError(f"scoring was cancelled after {done} of {len(prompts)} prompts")
        head = model.tokenize(prompt + SEPARATOR)
        wholes = [model.tokenize(prompt + SEPARATOR + canary.text) for canary in canaries]
        place = min(_common(head, whole) for whole in wholes)
        if place == 0 or any(len(whole) <= place for whole in wholes):
            raise BoundaryError(f"the tokenizer leaves no boundary between prompt {done + 1} and the canaries")
        scores = model.score_candidates([head[:place]], [[whole[place:] for whole in wholes]])[0]
        rows.append([sum(row) for row in scores])
        if progress is not None:
            progress((done + 1) / len(prompts), f"scored the canaries under {done + 1} of {len(prompts)} prompts")
    return as_scores(rows, "canary scores", 2)


def lira_scores(audited: npt.ArrayLike, reference: npt.ArrayLike, coins: Coins) -> Floats:
    """log N(s; in) - log N(s; out) for every audited run and canary, the two normal laws from the reference runs.

    Means are a canary's own, shrunk towards those of all canaries as one more run; the spread is one for all canaries, as with
    few runs each (arXiv 2112.03570, section VI). Raises ScoreError.
    """
    own, others = as_scores(audited, "audited scores", 2), as_scores(reference, "reference scores", 2)
    inside = np.asarray(coins)
    if inside.shape != others.shape or inside.dtype != np.bool_ or own.shape[1] != others.shape[1]:
        raise ScoreError("audited scores, reference scores and coins need the same canaries")
    if not inside.any() or inside.all():
        raise ScoreError("the reference runs need canaries in and canaries out")
    centre = others.mean(axis=0)
    level_in, level_out = (others - centre)[inside].mean(), (others - centre)[~inside].mean()
    mean_in = _shrunk_mean(others, inside, centre + level_in)
    mean_out = _shrunk_mean(others, ~inside, centre + level_out)
    spread = max(float(np.sqrt(np.mean(np.square(others - np.where(inside, mean_in, mean_out))))), _LEAST_SPREAD)
    return np.asarray((np.square(own - mean_out) - np.square(own - mean_in)) / (2 * spread**2), dtype=np.float64)


def audit_membership(plan: MembershipPlan, scores: npt.ArrayLike, included: Coins, reference_runs: int = 0) -> PromptMembership:
    """The lower bound on epsilon from scores (runs x canaries) and coins of the audited runs, beside the claim.

    The scores of one run may depend on all prompts, and on the coins of reference runs, but on no coin of an audited run.
    Raises PlanError, ScoreError.
    """
    values, coins = as_scores(scores, "canary scores", 2), np.asarray(included)
    if coins.shape != values.shape:
        raise ScoreError("every run and canary needs one score and one coin")
    canaries = Canaries.build(values.ravel(), coins.ravel())
    if plan.cut_offs is not None:
        run = bound_one_run(canaries, plan.cut_offs, plan.alpha, plan.delta, plan.seed)
    else:
        run = bound_by_grid(canaries, plan.alpha, plan.delta, seed=plan.seed).best
    return PromptMembership(plan, run, plan.searched(canaries.m), values.shape[0], reference_runs)


def recount_membership(content: Mapping[str, Any], plan: MembershipPlan) -> PromptMembership:
    """The result that a published one stands for. Raises ScoreError where its numbers do not follow from its guesses."""
    try:
        m, guesses, correct = (int(content[name]) for name in ("canaries", "guesses", "correct"))
        cut_offs = CutOffs(*map(int, content["cut_offs"]))
        if not 1 <= m <= MAX_CANARIES or cut_offs.k_minus + cut_offs.k_plus != guesses:
            raise ScoreError("the guesses are not those of the cut-offs")
        if cut_offs not in ((plan.cut_offs,) if plan.cut_offs is not None else default_grid(m)):
            raise ScoreError("the cut-offs are not those of the plan")
        level = plan.alpha / plan.searched(m)
        epsilon = epsilon_lower(m, guesses, correct, level, plan.delta)
        run = OneRun(epsilon, level, plan.delta, m, guesses, correct, cut_offs)
        found = PromptMembership(plan, run, plan.searched(m), int(content["runs"]), int(content["reference_runs"]))
        same = is_same(found.to_json(), dict(content))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, PlanError):
        raise ScoreError("this is no result of a membership audit of prompts") from None
    if not same:
        raise ScoreError("the numbers of this result do not follow from its guesses")
    return found


def _common(head: Sequence[int], whole: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((i for i, (a, b) in enumerate(zip(head, whole)) if a != b), min(len(head), len(whole)))


def _shrunk_mean(scores: Floats, chosen: Coins, prior: Floats) -> Floats:
    return np.asarray((np.where(chosen, scores, 0).sum(axis=0) + prior) / (chosen.sum(axis=0) + 1), dtype=np.float64)
