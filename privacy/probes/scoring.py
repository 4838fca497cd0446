"""Full tier: every value's exact rank among generated values of its format, by calibrated log-likelihood, over all templates.

Why ranks stay exact. The value stands at a place drawn by lot among its nulls and is scored with them, by the same calls; the
score is one function of (context, candidate) for all; the statistic over templates is symmetric in the candidates. So, where the
value was drawn like the nulls, every order of the N + 1 statistics is equally likely, arithmetic noise of the back end included.
Ties, and what that noise could have made of ties, count against the accusation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from privacy.errors import ModelAccessError, ScoreError
from privacy.probes.evidence import RankEvidence, exponent_of
from privacy.probes.model import ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.targets import Candidates, Split, Target, draw_candidates, split_all
from privacy.statistics.ranking import rank_p_value
from privacy.statistics.scores import Floats, calibrate, join_templates

TOKEN_FLOOR = -1000.0
"""Log-probability that stands for "impossible" (minus infinity), for values and nulls alike: a symmetric rule, and sums stay
finite. No softmax in float32 or float64 gives a probability as low as this."""
MOST_ABOVE_ZERO = 1e-3
SPREADS = 100
"""A template is standardised only where its spread is above so many tolerances."""
MAX_CALL = 4_000
"""Candidates in one call, but that all those of one context go together."""


def rank_targets(
    plan: ProbePlan,
    targets: Sequence[Target],
    model: ProbedModel,
    reference: ProbedModel | None,
    progress: Progress | None = None,
) -> list[RankEvidence]:
    """The rank of each target. Raises BoundaryError, ModelAccessError, ScoreError for NaN, PlanError."""
    drawn = [draw_candidates(plan, target) for target in targets]
    parts = 1 if reference is None else 2
    own, lengths = _score(model, targets, drawn, _part(progress, 0, parts))
    theirs = _score(reference, targets, drawn, _part(progress, 1, parts))[0] if reference is not None else [None] * len(targets)
    found = []
    for candidates, logs, others, tokens in zip(drawn, own, theirs, lengths, strict=True):
        scores = logs if others is None else calibrate(logs, others, tokens)
        rank = rank_of(scores, candidates.at, plan)
        found.append(RankEvidence(rank, plan.nulls, exponent_of(float(logs[:, candidates.at].max()))))
    return found


def rank_of(scores: Floats, at: int, plan: ProbePlan) -> int:
    """1 + how many of the others score at least as high as the one at `at`, by the maximum over templates (K x (N + 1))."""
    nulls = np.delete(scores, at, axis=1)
    observed, others = join_templates(scores[:, at], nulls, plan.standardise, SPREADS * plan.tolerance)
    slack = max(1 / SPREADS, plan.tolerance) if plan.standardise and plan.tolerance else plan.tolerance
    return round(rank_p_value(observed - slack, others) * (others.size + 1))


def _score(
    model: ProbedModel, targets: Sequence[Target], drawn: Sequence[Candidates], progress: Progress | None
) -> tuple[list[Floats], list[Floats]]:
    """For every target, summed log-likelihoods and token counts, each of shape templates x candidates."""
    shapes = [(len(target.templates), len(candidates.values)) for target, candidates in zip(targets, drawn)]
    logs, lengths = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    contexts, done = sum(count for count, _ in shapes), 0
    for call in _calls(model, targets, drawn):
        found = ask(model, [split for _, _, split in call])
        for (place, row, (_, tails)), sums in zip(call, found):
            logs[place][row] = sums
            lengths[place][row] = [len(tail) for tail in tails]
        done += len(call)
        if progress is not None:
            progress(done / contexts, f"scored {done} of {contexts} contexts")
    return logs, lengths


def _part(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Progress of one of `parts` equal parts."""
    if progress is None:
        return None
    return lambda share, text: progress((place + share) / parts, text)


def _calls(model: ProbedModel, targets: Sequence[Target], drawn: Sequence[Candidates]) -> Iterator[list[tuple[int, int, Split]]]:
    """(target, template, tokens), as many as are scored in one call."""
    call: list[tuple[int, int, Split]] = []
    size = 0
    for place, (target, candidates) in enumerate(zip(targets, drawn)):
        for row, split in enumerate(split_all(model, target, candidates)):
            if call and size + len(split[1]) > MAX_CALL:
                yield call
                call, size = [], 0
            call.append((place, row, split))
            size += len(split[1])
    if call:
        yield call


def ask(model: ProbedModel, call: Sequence[Split]) -> list[list[float]]:
    """ln q of every candidate of every prompt."""
    found = model.score_candidates([prompt for prompt, _ in call], [tails for _, tails in call])
    fits = len(found) == len(call) and all(
        [len(row) for row in rows] == [len(tail) for tail in tails] for rows, (_, tails) in zip(found, call)
    )
    if not fits:
        raise ModelAccessError("the model gave other log-probabilities than those of the candidates' tokens")
    return [[sum_logs(row) for row in rows] for rows in found]


def sum_logs(logs: Sequence[float]) -> float:
    """ln q of a string from those of its tokens. Minus infinity counts as TOKEN_FLOOR; NaN raises ScoreError."""
    if any(math.isnan(one) or one > MOST_ABOVE_ZERO for one in logs):
        raise ScoreError("the model gave a log-probability that is NaN or above 0; a missing score is never a number")
    return math.fsum(min(0.0, max(TOKEN_FLOOR, one)) for one in logs)


def score_splits(model: ProbedModel, splits: Sequence[Split]) -> Floats:
    """ln q of every candidate after the prompt of each template (templates x candidates)."""
    return np.array([row for split in splits for row in ask(model, [split])])
