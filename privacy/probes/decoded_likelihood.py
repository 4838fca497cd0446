"""The exact probability that a declared decoding writes a text: temperature, then top-k (ties kept), then top-p.

A likelihood at temperature 1 is no rate of anything where answers are drawn in another way. What cannot be had exactly from the
probabilities that a model gives is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from privacy.errors import ModelAccessError, PlanError, ScoreError
from privacy.probes.model import Access, Decoding, ModelFacts, ProbedModel
from privacy.statistics.scores import Floats

Listed = Mapping[int, float] | Floats
"""Next tokens with their log-probabilities: some by id, or all as an array."""
PROMPTS_AT_ONCE = 64
_SLACK = 1e-3
_ROUNDING = 1e-6


def is_plain(decoding: Decoding) -> bool:
    """Whether answers are drawn from the model's own law."""
    return decoding.temperature == 1 and decoding.top_p == 1 and decoding.top_k == 0


def check_decoding(decoding: Decoding, facts: ModelFacts) -> None:
    """Whether probabilities under this decoding can be exact with what the model lists. Raises PlanError, ModelAccessError."""
    if not 0 <= decoding.temperature <= 100 or not 0 < decoding.top_p <= 1 or decoding.top_k < 0:
        raise PlanError("a decoding has a temperature between 0 and 100, top_p above 0 and up to 1, top_k from 0 on")
    if is_plain(decoding) or decoding.temperature == 0 or facts.access is Access.WEIGHTS:
        return
    if facts.vocab_size is not None and facts.top_k >= facts.vocab_size:
        return
    if decoding.top_k:
        if facts.top_k < decoding.top_k:
            raise ModelAccessError(
                f"top_k {decoding.top_k} needs as many listed tokens, {facts.name} lists {facts.top_k}; take a smaller top_k"
            )
    elif decoding.temperature != 1:
        raise ModelAccessError(
            f"a temperature other than 1 without top_k needs the whole distribution, {facts.name} lists {facts.top_k} tokens"
        )


def next_lists(model: ProbedModel, prompts: Sequence[Sequence[int]]) -> Iterator[Listed]:
    """What the model lists after each prompt: everything where weights are at hand, its best tokens otherwise."""
    whole = getattr(model, "next_laws", None) if model.facts().access is Access.WEIGHTS else None
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        part = prompts[first : first + PROMPTS_AT_ONCE]
        yield from model.next_tokens(part) if whole is None else whole(part)


def is_likeliest(listed: Listed, token: int) -> bool:
    """Whether greedy decoding writes this token; one that shares the first place does not count."""
    logs, own = _read(listed, token)
    return own is not None and int((logs >= logs[own]).sum()) == 1


def step_log_probability(listed: Listed, token: int, decoding: Decoding, vocab_size: int | None) -> float:
    """ln of the probability of one token, -inf where the decoding never writes it.

    Raises ModelAccessError where the listed tokens leave it open, ScoreError for what is no distribution.
    """
    if decoding.temperature == 0:
        return 0.0 if is_likeliest(listed, token) else -math.inf
    logs, own = _read(listed, token)
    _check(logs)
    whole = logs.size == vocab_size
    if not whole:
        _check_open(logs, own, decoding)
    order = np.argsort(-logs, kind="stable")
    if decoding.top_k:
        order = order[: int((logs >= logs[order[min(decoding.top_k, logs.size) - 1]]).sum())]
    weights = np.exp((logs[order] - logs[order[0]]) / decoding.temperature)
    # A law of which a part is listed is not normalised: it is the model's own, at temperature 1.
    weights = weights / weights.sum() if whole or decoding.top_k else np.exp(logs[order])
    if decoding.top_p < 1:
        weights = _nucleus(weights, decoding.top_p)
    place = np.flatnonzero(order[: weights.size] == own) if own is not None else np.array([], dtype=np.int64)
    return math.log(weights[place[0]]) if place.size and weights[place[0]] > 0 else -math.inf


def _read(listed: Listed, token: int) -> tuple[Floats, int | None]:
    """Log-probabilities in the order of token ids, and where this token's is; None where it is not listed."""
    if not isinstance(listed, Mapping):
        return listed, token if 0 <= token < listed.size else None
    tokens = sorted(listed)
    logs = np.array([listed[one] for one in tokens], dtype=np.float64)
    return logs, tokens.index(token) if token in listed else None


def _check(logs: Floats) -> None:
    total = float(np.exp(logs).sum()) if logs.size else 0.0
    if not 0 < total <= 1 + _SLACK:  # NaN too
        raise ScoreError("listed log-probabilities are no part of a distribution")


def _check_open(logs: Floats, own: int | None, decoding: Decoding) -> None:
    """Raises ModelAccessError where a list that is not whole leaves the probability of the token open."""
    if decoding.top_k:
        if logs.size < decoding.top_k:
            raise ModelAccessError(f"{logs.size} tokens are listed, fewer than top_k; the probability of a text is left open")
    elif decoding.temperature != 1:
        raise ModelAccessError("a temperature other than 1 needs every token's probability, and not all are listed")
    elif decoding.top_p == 1 and own is None:
        raise ModelAccessError("a token is not listed, so that its probability is left open")


def _nucleus(weights: Floats, top_p: float) -> Floats:
    """The smallest set of likeliest tokens whose probability reaches top_p, normalised. `weights` fall."""
    before = np.cumsum(weights) - weights
    kept = weights[before < top_p]
    if kept.size == weights.size and float(weights.sum()) < top_p - _ROUNDING:
        raise ModelAccessError("the listed tokens do not reach top_p; the probability of a text is left open")
    return np.asarray(kept / kept.sum())
