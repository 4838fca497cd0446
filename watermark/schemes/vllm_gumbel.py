"""vLLM's context-hashed Gumbel watermark, single and dual key: the detector.

Reference: vllm-project/vllm, vllm/v1/watermarking/detector.py @ a6d669adc4b8. Each token scores -log(1 - u), which is Exp(1)
under H0; a sum of T independent ones is Gamma(T, 1). u has 24 bits: the sum may lie up to T 2^-23 beside its continuous law.
Independence needs that no (context, token) is counted twice; with `deduplicate_contexts` the reference sees to it (each context
once, the first time), without it Assay counts each (context, token) once and says so.
"""

from __future__ import annotations

import functools
import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import MIN_SCORED, TYPICAL_ENTROPY_NATS, Detection, DetectOptions, Span, TokenScore
from watermark.detectors.score_spans import find_spans
from watermark.errors import ConfigError
from watermark.nulls.moment_gamma import moment_matched_p_value
from watermark.nulls.weighted_gamma import log_q_nodes, weighted_log_q
from watermark.primitives import philox
from watermark.schemes.gumbel_config import DEFAULT_DUAL_ALPHA, DEFAULTS, DUAL, SINGLE, GumbelConfig, read_config

DIALECT_ID = "vllm-gumbel@a6d669adc4b8"
SEARCHABLE_KEYS = 1 << 40
CHUNK = 1 << 16  # tokens scored at once: bounds memory
# Variance of a marked token's score: at most pi^2/6 given its probability, and a little between tokens.
_MARKED_VARIANCE = 2.0
_Z_POWER = 0.8416212335729143  # normal quantile of SUFFICIENT_POWER


def log_tail(weights: tuple[float, ...], count: int, score: float) -> float:
    """log P(sum of `count` token scores > score) under H0, exactly, for one key or two weighted ones."""
    if score <= 0:
        return 0.0
    if len(weights) == 1:
        return float(log_q_nodes(count, np.array([score]))[0])
    return weighted_log_q(count, weights[0], weights[1], score)


@functools.lru_cache(maxsize=256)
def sufficient_tokens(weights: tuple[float, ...], alpha: float) -> int:
    """Distinct tokens for power 0.8 (SUFFICIENT_POWER) at `alpha` and TYPICAL_ENTROPY_NATS.

    A marked token scores 1 + (pi^2/6 - 1) H on average at entropy H (Aaronson); each key of two marks its share only.
    """
    shares = sum(weight**2 for weight in weights)
    gain = (math.pi**2 / 6 - 1) * TYPICAL_ENTROPY_NATS * shares
    low, high = MIN_SCORED - 1, 2 * MIN_SCORED

    def detected(count: int) -> bool:
        score = count * (1 + gain) - _Z_POWER * math.sqrt(count * _MARKED_VARIANCE * shares)
        return log_tail(weights, count, score) <= math.log(alpha)

    while not detected(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detected(middle) else (middle, high)
    return high


class GumbelScheme:
    """One configuration with its key or keys."""

    def __init__(self, config: GumbelConfig, hazards: tuple[str, ...]) -> None:
        self.config = config
        self._hazards = hazards

    def hazards(self) -> tuple[str, ...]:
        return self._hazards

    def scores(
        self, tokens: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """The score of each token, whether the reference counts it, and whether the valid test does."""
        contexts = self.config.contexts(tokens)
        scores, folded = np.zeros(tokens.size), np.zeros(tokens.size, dtype=np.uint64)
        for start in range(0, tokens.size, CHUNK):
            part = slice(start, start + CHUNK)
            for key, weight in zip(self.config.keys, self.config.weights):
                state = philox.fold_contexts(contexts[part], key)
                u = philox.uniform_float32(philox.token_words(state, tokens[part], key)).astype(np.float64)
                scores[part] += weight * -np.log1p(-u)
            # 64 bits of the folded state stand for the context: two contexts share them by chance one in 2^64
            folded[part] = state[0] << np.uint64(32) | state[1]
        first = _first_occurrences(folded)
        if self.config.deduplicate_contexts:
            return scores, first, first
        return scores, np.ones(tokens.size, dtype=np.bool_), _first_occurrences(folded, tokens)

    def reference_p_value(self, count: int, score: float) -> float:
        """What vLLM prints: exact for one key, for two a Gamma with the same mean and variance."""
        if self.config.alpha is None:
            return math.exp(log_tail(self.config.weights, count, score))
        return moment_matched_p_value(self.config.weights, count, score)

    def detect(self, tokens: npt.NDArray[np.int64], options: DetectOptions) -> Detection:
        """Test one text. Never raises for checked tokens; an empty text gives no p-value."""
        config = self.config
        scores, scored, counted = self.scores(tokens)
        num_scored, num_distinct = int(scored.sum()), int(counted.sum())
        statistic = float(scores[scored].sum())
        total = float(scores[counted].sum())
        reference = self.reference_p_value(num_scored, statistic) if num_scored else None

        positions = np.flatnonzero(counted)
        method = "gamma" if config.alpha is None else "weighted-gamma"
        return Detection(
            scheme=config.scheme,
            dialect=DIALECT_ID,
            num_tokens=tokens.size,
            num_tokens_scored=num_scored,
            alpha=options.alpha,
            log_p=log_tail(config.weights, num_distinct, total) if num_distinct else None,
            test={"method": method, "shape": num_distinct, "score": total, "weights": list(config.weights)},
            num_distinct=num_distinct,
            sufficient_tokens=sufficient_tokens(config.weights, options.alpha),
            statistic=statistic,
            reference_p_value=reference,
            reference_decision=None if reference is None else reference <= config.p_value_threshold,
            warnings=_warnings(num_scored, num_distinct),
            tokens=_token_scores(scores, counted) if options.tokens else (),
            spans=self._spans(scores[positions], positions, options.alpha) if options.spans else (),
        )

    def _spans(self, scores: npt.NDArray[np.float64], positions: npt.NDArray[np.int64], alpha: float) -> tuple[Span, ...]:
        weights = self.config.weights
        sums = np.concatenate([[0.0], np.cumsum(scores)])
        spread = math.sqrt(sum(weight**2 for weight in weights))

        def tail(start: int, end: int) -> float:
            return log_tail(weights, end - start, float(sums[end] - sums[start]))

        return find_spans(1 + (scores - 1) / spread, positions, tail, alpha)


def _warnings(num_scored: int, num_distinct: int) -> tuple[str, ...]:
    if num_distinct == num_scored:
        return ()
    return (
        f"{num_scored - num_distinct} repeated (context, token) pairs are left out of the p-value; "
        "the reference counts them, so its own p-value does not hold for this text",
    )


def _token_scores(scores: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_]) -> tuple[TokenScore, ...]:
    pairs = enumerate(zip(scores.tolist(), counted.tolist()))
    return tuple(TokenScore(position, score, None, seen) for position, (score, seen) in pairs)


def _first_occurrences(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows are the first with their values."""
    first = np.zeros(columns[0].size, dtype=np.bool_)
    if first.size:
        order = np.lexsort(columns)  # stable: the earliest of equal rows comes first
        changes = np.zeros(first.size, dtype=np.bool_)
        changes[0] = True
        for column in columns:
            changes[1:] |= column[order[1:]] != column[order[:-1]]
        first[order[changes]] = True
    return first


class GumbelDialect:
    """vLLM's detector at the commit of `DIALECT_ID`."""

    id = DIALECT_ID
    defects: tuple[str, ...] = (
        "dual key: the reference p-value matches mean and variance by one Gamma, which is too small in the tail (1.4 times at "
        "4e-8, 7 times at 6e-23 for 200 tokens); reported as it stands, the decision rests on the exact tail",
        "deduplicate_contexts false: the reference counts repeated (context, token) pairs as independent; its figures are "
        "reported as they stand, the decision counts each pair once",
    )

    def open(self, config: Mapping[str, Any]) -> GumbelScheme:
        checked = read_config(config)
        return GumbelScheme(checked, _hazards(checked, config["key"]))

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if "key" in options:
            raise ConfigError("a new configuration draws its own key; leave key out")
        scheme = options.get("scheme", SINGLE)
        config = {"scheme": scheme, "key": secrets.randbits(64), **DEFAULTS}
        if scheme == DUAL:
            config["alpha"] = DEFAULT_DUAL_ALPHA
        config.update(options)
        read_config(config)
        return config

    def secrets(self) -> tuple[str, ...]:
        return ("key",)


def _hazards(config: GumbelConfig, key: int) -> tuple[str, ...]:
    found = []
    if key < SEARCHABLE_KEYS:
        found.append("the key is below 2^40, so that it can be found by trying; draw 64 random bits")
    if config.alpha in (0.0, 1.0):
        found.append("alpha is 0 or 1: only one of the two keys is scored")
    if not config.deduplicate_contexts:
        found.append("contexts are not deduplicated: marked texts tend to loop, and the reference p-value does not hold")
    return tuple(found)


DIALECT = GumbelDialect()
