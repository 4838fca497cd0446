"""Top-k tier: bounds of every value's rank where a back end lists only the k likeliest next tokens.

A candidate's tokens are forced one after the other. A listed one is known; an unlisted one has a probability between 0 and what
the listed ones leave (`missing_token_bound`). So each score lies in an interval, and so does the rank; the verdict takes the
worst.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from privacy.errors import ModelAccessError, ScoreError
from privacy.probes.evidence import IntervalEvidence, exponent_of
from privacy.probes.model import Access, ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.scoring import MOST_ABOVE_ZERO, score_splits
from privacy.probes.targets import Candidates, Split, Target, draw_candidates, split_all
from privacy.statistics.censored import censored_p_value, missing_token_bound

Interval = tuple[float, float]
Prefix = tuple[int, ...]
ASKED_AT_ONCE = 256
NO_BOUND: Interval = (-math.inf, 0.0)


@dataclass
class ListedTokens:
    """What a model lists after prefixes, each asked once. Holds personal values: never kept beyond one target."""

    model: ProbedModel
    asked: int = 0
    _bounds: dict[Prefix, tuple[Mapping[int, float], float]] = field(default_factory=dict, repr=False)

    def fetch(self, prefixes: Sequence[Prefix]) -> None:
        """Ask for those not known yet. Raises ModelAccessError, ScoreError."""
        missing = [prefix for prefix in dict.fromkeys(prefixes) if prefix not in self._bounds]
        for first in range(0, len(missing), ASKED_AT_ONCE):
            part = missing[first : first + ASKED_AT_ONCE]
            found = self.model.next_tokens(part)
            if len(found) != len(part) or not all(found):
                raise ModelAccessError("the model listed no next tokens for a prompt")
            for prefix, listed in zip(part, found):
                self._bounds[prefix] = (listed, missing_token_bound(list(listed.values())))
        self.asked += len(missing)

    def bound(self, prefix: Prefix, token: int) -> Interval:
        """Bounds of the token's log-probability after a prefix that was fetched."""
        listed, missing = self._bounds[prefix]
        if token not in listed:
            return -math.inf, min(0.0, missing)
        value = listed[token]
        if math.isnan(value) or value > MOST_ABOVE_ZERO:
            raise ScoreError("the model listed a log-probability that is NaN or above 0")
        return min(0.0, value), min(0.0, value)

    def bound_all(self, prompt: Prefix, row: Prefix) -> Interval:
        """Bounds of the log-likelihood of all these tokens after the prompt."""
        return _walk(self, prompt, [row], [-math.inf])[0]


def bound_targets(
    plan: ProbePlan,
    targets: Sequence[Target],
    model: ProbedModel,
    reference: ProbedModel | None,
    progress: Progress | None = None,
) -> list[IntervalEvidence]:
    """Bounds of the rank of each target. A reference model must give the log-probability of every token (FULL).

    Templates are not standardised here: their medians would be intervals themselves. Raises ModelAccessError, BoundaryError,
    ScoreError, PlanError.
    """
    if reference is not None and not reference.facts().access.covers(Access.FULL):
        raise ModelAccessError("a reference model gives the log-probability of every token; this one lists the likeliest only")
    found = []
    for place, target in enumerate(targets):
        found.append(_bound(plan, target, model, reference))
        if progress is not None and len(targets) > 1:
            progress((place + 1) / len(targets), f"bounded the ranks of {place + 1} of {len(targets)} values")
    return found


def _bound(plan: ProbePlan, target: Target, model: ProbedModel, reference: ProbedModel | None) -> IntervalEvidence:
    candidates = draw_candidates(plan, target)
    splits = list(split_all(model, target, candidates))
    tokens = ListedTokens(model)
    least, most = _exponents(tokens, splits, candidates.at)
    splits = [after_shared(split) for split in splits]
    own = [_walk(tokens, prompt, [tails[candidates.at]], [-math.inf])[0] for prompt, tails in splits]
    if all(math.isinf(low) for low, _ in own):  # whatever a null scores may be more: nothing to be gained by asking
        return IntervalEvidence(1, plan.nulls + 1, plan.nulls, least, most)
    theirs = np.zeros((len(splits), len(candidates.values)))
    if reference is not None:
        theirs = score_splits(reference, [after_shared(split) for split in split_all(reference, target, candidates)])
    scored = [_score(bounds, splits[k][1][candidates.at], theirs[k, candidates.at], reference) for k, bounds in enumerate(own)]
    low, high = (max(one[side] for one in scored) for side in (0, 1))
    lows, highs = _null_bounds(plan, tokens, splits, candidates, theirs, reference, low - plan.tolerance)
    p = censored_p_value((low - plan.tolerance, high), lows, highs)
    best, worst = (round(one * (plan.nulls + 1)) for one in (p.p_min, p.p_max))
    return IntervalEvidence(best, worst, plan.nulls, least, most)


def _exponents(tokens: ListedTokens, splits: Sequence[Split], at: int) -> tuple[int | None, int | None]:
    """Powers of ten of queries that reveal the value with the best template: at least, and at most."""
    whole = [_walk(tokens, prompt, [tails[at]], [-math.inf])[0] for prompt, tails in splits]
    return exponent_of(max(high for _, high in whole)), exponent_of(max(low for low, _ in whole))


def after_shared(split: Split) -> Split:
    """With the tokens that all candidates begin with (a space, an area code) moved into the prompt.

    They tell no candidate from another, but one of them that is not listed would leave every score without a lower bound. Every
    candidate keeps one token at least.
    """
    prompt, tails = split
    pairs = zip(min(tails), max(tails))  # what these two share, all of them share
    shared = min(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), min(map(len, tails)) - 1)
    return (*prompt, *tails[0][:shared]), tuple(tail[shared:] for tail in tails)


def _null_bounds(
    plan: ProbePlan, tokens: ListedTokens, splits: Sequence[Split], candidates: Candidates, theirs: np.ndarray,
    reference: ProbedModel | None, floor: float,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Bounds of the nulls' statistics, the maximum over templates.

    A branch is left as soon as its upper bound lies below `floor`, the target's lower bound: upper bounds only fall from token to
    token, so that it can count neither in p_max nor in p_min, however it goes on.
    """
    places = [i for i in range(len(candidates.values)) if i != candidates.at]
    lows, highs = [-math.inf] * len(places), [-math.inf] * len(places)
    for k, (prompt, tails) in enumerate(splits):
        rows = [tails[i] for i in places]
        floors = [_unscore(floor, len(row), theirs[k, i], reference) for row, i in zip(rows, places)]
        for j, bounds in enumerate(_walk(tokens, prompt, rows, floors)):
            low, high = _score(bounds, rows[j], theirs[k, places[j]], reference)
            lows[j], highs[j] = max(lows[j], low), max(highs[j], high)
    return lows, highs


def _score(bounds: Interval, row: Sequence[int], other: float, reference: ProbedModel | None) -> Interval:
    if reference is None:
        return bounds
    return (bounds[0] - other) / len(row), (bounds[1] - other) / len(row)


def _unscore(score: float, length: int, other: float, reference: ProbedModel | None) -> float:
    """The log-likelihood at which a row has this score."""
    return score if reference is None else score * length + other


def _walk(tokens: ListedTokens, prompt: Prefix, rows: Sequence[Prefix], floors: Sequence[float]) -> list[Interval]:
    """Bounds of each row's log-likelihood after the prompt, token by token for all rows: shared beginnings are asked once.

    A row whose upper bound has fallen below its floor is left; its lower bound is then minus infinity.
    """
    bounds: list[Interval] = [(0.0, 0.0)] * len(rows)
    live = list(range(len(rows)))
    for depth in range(max(map(len, rows), default=0)):
        live = [i for i in live if len(rows[i]) > depth]
        tokens.fetch([(*prompt, *rows[i][:depth]) for i in live])
        for i, (low, high) in _steps(tokens, prompt, rows, live, depth):
            bounds[i] = (bounds[i][0] + low, bounds[i][1] + high)
        left = {i for i in live if bounds[i][1] < floors[i]}
        for i in left:
            bounds[i] = (-math.inf, bounds[i][1])
        live = [i for i in live if i not in left]
    return bounds


def _steps(
    tokens: ListedTokens, prompt: Prefix, rows: Sequence[Prefix], live: Sequence[int], depth: int
) -> Iterator[tuple[int, Interval]]:
    for i in live:
        yield i, tokens.bound((*prompt, *rows[i][:depth]), rows[i][depth])
